# Every third-party library, its oldest tested version and what it is for. Named only here.
#   Threads            lanes and the CPU thread pool
#   oneDNN 2.6         f32 GEMM on the CPU (no usable CMake package in Debian 12)
#   OpenBLAS 0.3.21    f64 GEMM for the oracle build
#   toml++ 3.3         configuration files
#   nlohmann-json 3.11 manifests, safetensors headers, step logs
#   CLI11 2.1          command line
#   spdlog 1.10        logging
#   SentencePiece 0.1.97  sub-word tokenizer
#   GoogleTest 1.12, Google Benchmark 1.7  tests and micro-benchmarks
#   Open MPI 4.1, CUDA 13, NCCL 2.28       optional: see HECATE_WITH_*
include(GoogleTest)
find_package(Threads REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(CLI11 2.1 REQUIRED)
find_package(spdlog 1.10 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(SentencePiece REQUIRED IMPORTED_TARGET sentencepiece>=0.1.97)
find_path(HECATE_TOMLPP_INCLUDE toml++/toml.h REQUIRED)
add_library(hecate_tomlpp INTERFACE)
target_include_directories(hecate_tomlpp SYSTEM INTERFACE "${HECATE_TOMLPP_INCLUDE}")

if(HECATE_REAL_DOUBLE)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(OpenBLAS REQUIRED IMPORTED_TARGET openblas>=0.3.20)
  add_library(hecate_blas INTERFACE)
  target_link_libraries(hecate_blas INTERFACE PkgConfig::OpenBLAS)
else()
  find_library(HECATE_DNNL_LIBRARY NAMES dnnl REQUIRED)
  find_path(HECATE_DNNL_INCLUDE dnnl.h REQUIRED)
  add_library(hecate_blas INTERFACE)
  target_link_libraries(hecate_blas INTERFACE "${HECATE_DNNL_LIBRARY}")
  target_include_directories(hecate_blas SYSTEM INTERFACE "${HECATE_DNNL_INCLUDE}")
endif()

if(HECATE_BUILD_TESTS)
  find_package(GTest 1.12 REQUIRED)
endif()

function(hecate_feature_state name)
  if(NOT HECATE_WITH_${name} IN_LIST HECATE_FEATURE_STATES)
    message(FATAL_ERROR "HECATE_WITH_${name} is '${HECATE_WITH_${name}}': expected AUTO, ON or OFF")
  endif()
endfunction()
hecate_feature_state(MPI)
hecate_feature_state(CUDA)
hecate_feature_state(NCCL)

set(HECATE_HAVE_MPI OFF)
if(NOT HECATE_WITH_MPI STREQUAL "OFF")
  find_package(MPI COMPONENTS CXX)
  if(MPI_CXX_FOUND)
    set(HECATE_HAVE_MPI ON)
  elseif(HECATE_WITH_MPI STREQUAL "ON")
    message(FATAL_ERROR "HECATE_WITH_MPI=ON but no MPI was found (apt-get install libopenmpi-dev)")
  endif()
endif()

set(HECATE_HAVE_CUDA OFF)
if(NOT HECATE_WITH_CUDA STREQUAL "OFF")
  find_package(CUDAToolkit 12.0)
  if(CUDAToolkit_FOUND)
    set(HECATE_HAVE_CUDA ON)
    # CMake 3.25 does not know C++20 for nvcc 13.
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      set(CMAKE_CUDA_ARCHITECTURES "90a-real")
    endif()
    enable_language(CUDA)
    set(CMAKE_CUDA_STANDARD 20)
  elseif(HECATE_WITH_CUDA STREQUAL "ON")
    message(FATAL_ERROR "HECATE_WITH_CUDA=ON but no CUDA toolkit was found (set CUDAToolkit_ROOT)")
  endif()
endif()

set(HECATE_HAVE_NCCL OFF)
if(NOT HECATE_WITH_NCCL STREQUAL "OFF")
  if(HECATE_HAVE_CUDA)
    find_library(HECATE_NCCL_LIBRARY NAMES nccl HINTS "${CUDAToolkit_LIBRARY_DIR}")
    find_path(HECATE_NCCL_INCLUDE nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
  endif()
  if(HECATE_NCCL_LIBRARY AND HECATE_NCCL_INCLUDE)
    set(HECATE_HAVE_NCCL ON)
  elseif(HECATE_WITH_NCCL STREQUAL "ON")
    message(FATAL_ERROR "HECATE_WITH_NCCL=ON but NCCL was not found (it also needs HECATE_WITH_CUDA)")
  endif()
endif()
message(STATUS "hecate: MPI ${HECATE_HAVE_MPI}, CUDA ${HECATE_HAVE_CUDA}, NCCL ${HECATE_HAVE_NCCL}")
