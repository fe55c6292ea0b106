hecate_test(kernels_math_test
  SOURCES activation_test.cpp adamw_test.cpp cross_entropy_test.cpp elementwise_test.cpp
          gemm_test.cpp permute_test.cpp router_test.cpp vector_math_test.cpp
  DEPS hecate_kernels)
hecate_simd_sources(kernels_math_test vector_math_probe.cpp)
