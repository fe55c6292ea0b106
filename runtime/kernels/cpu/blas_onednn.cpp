#include <dnnl.h>

#include <algorithm>
#include <string>

#include "runtime/base/error.h"
#include "runtime/kernels/cpu/blas.h"
#include "runtime/kernels/cpu/isa.h"

extern "C" void omp_set_num_threads(int);

namespace hecate::kernels::cpu {
namespace {

// oneDNN follows HECATE_ISA and no more, so that equal runs give equal bits on newer machines. It
// refuses once it has been used, which only this file does.
bool limit_isa() {
  constexpr dnnl_cpu_isa_t kIsas[] = {dnnl_cpu_isa_sse41, dnnl_cpu_isa_avx2,
                                      dnnl_cpu_isa_avx512_core};
  return dnnl_set_max_cpu_isa(kIsas[static_cast<size_t>(active_isa())]) == dnnl_success;
}

}  // namespace

void serial_gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, Real alpha,
                 const Real* a, int64_t lda, const Real* b, int64_t ldb, Real beta, Real* c,
                 int64_t ldc) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j)
        c[i * ldc + j] = beta == Real{0} ? Real{0} : beta * c[i * ldc + j];
    return;
  }
  static const bool limited = limit_isa();
  static_cast<void>(limited);
  // oneDNN's OpenMP team is a property of the calling thread: one thread, set once per thread.
  thread_local const bool single = (omp_set_num_threads(1), true);
  static_cast<void>(single);
  // Its check of leading dimensions does not look at single rows; a stride below the width fails.
  const int64_t least_a = transpose_a ? m : k, least_b = transpose_b ? k : n;
  const dnnl_status_t status =
      dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a,
                 std::max(lda, least_a), b, std::max(ldb, least_b), beta, c, std::max(ldc, n));
  if (status != dnnl_success)
    throw DeviceError(concat("dnnl_sgemm failed with status ", static_cast<int>(status), " for ", m,
                             " x ", n, " x ", k));
}

const char* blas_name() {
  static const std::string name = concat("oneDNN ", dnnl_version()->major, ".",
                                         dnnl_version()->minor, ".", dnnl_version()->patch);
  return name.c_str();
}

}  // namespace hecate::kernels::cpu
