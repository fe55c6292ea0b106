# Compiler settings shared by every target. Nothing here looks at the machine that builds.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(HECATE_CCACHE ccache)
if(HECATE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${HECATE_CCACHE}")
endif()

# Carries warnings and definitions; linked by every hecate target.
add_library(hecate_flags INTERFACE)
target_include_directories(hecate_flags INTERFACE "${PROJECT_SOURCE_DIR}")
set(HECATE_WARNINGS -Wall -Wextra -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual
    -Wconversion -Wno-sign-conversion -fno-math-errno)
target_compile_options(hecate_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${HECATE_WARNINGS}>"
  "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:-Werror all-warnings -Xcompiler=-Wall,-Wextra,-Werror>")
if(HECATE_REAL_DOUBLE)
  target_compile_definitions(hecate_flags INTERFACE HECATE_REAL_DOUBLE=1)
endif()

if(HECATE_SANITIZE STREQUAL "address")
  target_compile_options(hecate_flags INTERFACE -fsanitize=address,undefined
                         -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(hecate_flags INTERFACE -fsanitize=address,undefined -rdynamic)
elseif(HECATE_SANITIZE STREQUAL "thread")
  target_compile_options(hecate_flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(hecate_flags INTERFACE -fsanitize=thread -rdynamic)
elseif(HECATE_SANITIZE)
  message(FATAL_ERROR "HECATE_SANITIZE is '${HECATE_SANITIZE}': expected empty, address or thread")
endif()
if(HECATE_SANITIZE)
  add_library(hecate_sanitizer_options OBJECT "${PROJECT_SOURCE_DIR}/cmake/sanitizers/options.cpp")
  target_link_libraries(hecate_flags INTERFACE $<TARGET_OBJECTS:hecate_sanitizer_options>)
endif()

# Instruction sets that the CPU kernels are compiled for; the running machine picks one at start.
set(HECATE_ISA_baseline_FLAGS -march=x86-64-v2)
set(HECATE_ISA_avx2_FLAGS -march=x86-64-v3)
set(HECATE_ISA_avx512_FLAGS -march=x86-64-v4 -mprefer-vector-width=512)
# Vector loops are marked with omp simd; sums are reordered only where a pragma says so.
set(HECATE_SIMD_FLAGS -O3 -fno-trapping-math -fno-signed-zeros -ffp-contract=fast -fopenmp-simd)
