#include <cblas.h>

#include <string>

#include "runtime/base/error.h"
#include "runtime/kernels/cpu/blas.h"

namespace hecate::kernels::cpu {

void serial_gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, Real alpha,
                 const Real* a, int64_t lda, const Real* b, int64_t ldb, Real beta, Real* c,
                 int64_t ldc) {
  if (m == 0 || n == 0) return;
  static const bool single = (openblas_set_num_threads(1), true);
  static_cast<void>(single);
  const auto integer = [](int64_t value) { return static_cast<blasint>(value); };
  // OpenBLAS leaves c alone where k = 0, and beta = 0 must not read it.
  if (beta == Real{0} || k == 0)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j)
        c[i * ldc + j] = beta == Real{0} ? Real{0} : beta * c[i * ldc + j];
  if (k == 0) return;
  cblas_dgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
              transpose_b ? CblasTrans : CblasNoTrans, integer(m), integer(n), integer(k), alpha, a,
              integer(lda), b, integer(ldb), beta, c, integer(ldc));
}

const char* blas_name() {
  static const std::string name = openblas_get_config();
  return name.c_str();
}

}  // namespace hecate::kernels::cpu
