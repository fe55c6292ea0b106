#pragma once
#include <cstdint>

#include "runtime/base/real.h"

/// The vendor's matrix product on the calling thread alone: row-major
/// c[M,N] = alpha op(a) op(b) + beta c; beta == 0 never reads c. Leading dimensions are row
/// strides. Sizes of 0 are allowed.
namespace hecate::kernels::cpu {

void serial_gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, Real alpha,
                 const Real* a, int64_t lda, const Real* b, int64_t ldb, Real beta, Real* c,
                 int64_t ldc);

/// Name and version, for `hecate --version` and a run's identity.
const char* blas_name();

}  // namespace hecate::kernels::cpu
