# hecate_library(NAME SOURCES ... [DEPS public libraries ...] [PRIVATE_DEPS ...])
function(hecate_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC hecate_flags ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
endfunction()

# hecate_simd_sources(TARGET files...): compiles each file once per instruction set, with
# HECATE_ISA_NS defined as the namespace that its functions live in (baseline, avx2, avx512).
function(hecate_simd_sources target)
  foreach(isa baseline avx2 avx512)
    add_library(${target}_${isa} OBJECT ${ARGN})
    target_link_libraries(${target}_${isa} PRIVATE hecate_flags)
    target_compile_definitions(${target}_${isa} PRIVATE HECATE_ISA_NS=${isa})
    target_compile_options(${target}_${isa} PRIVATE ${HECATE_SIMD_FLAGS} ${HECATE_ISA_${isa}_FLAGS})
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_${isa}>)
  endforeach()
endfunction()

# Sanitizers make everything slower.
set(HECATE_TEST_TIMEOUT_SCALE 1)
if(HECATE_SANITIZE)
  set(HECATE_TEST_TIMEOUT_SCALE 5)
endif()

# hecate_test(NAME SOURCES ... DEPS ... [LABELS ...]): a GoogleTest executable, one ctest per case.
# Cases of parameterised tests are listed by their names, not by what their values print as. FILTER
# leaves cases out, in GoogleTest's form.
function(hecate_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT;FILTER" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE hecate_flags ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${name} PRIVATE
    HECATE_SOURCE_DIR="${PROJECT_SOURCE_DIR}" HECATE_BINARY_DIR="${PROJECT_BINARY_DIR}")
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * ${HECATE_TEST_TIMEOUT_SCALE}")
  gtest_discover_tests(${name} TEST_PREFIX "${name}/" NO_PRETTY_VALUES DISCOVERY_TIMEOUT 60
    TEST_FILTER "${ARG_FILTER}"
    PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}")
endfunction()
