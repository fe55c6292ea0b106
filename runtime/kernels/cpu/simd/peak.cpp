#include "runtime/kernels/cpu/simd/peak.h"

#include "runtime/base/real.h"

namespace hecate::kernels::cpu::HECATE_ISA_NS {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif
using Vector __attribute__((vector_size(kVectorBytes))) = Real;
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(Real));
constexpr int kChains = 12;  // more than latency x ports of any CPU, fewer than its registers

}  // namespace

int64_t fma_rounds(int64_t rounds, double* sink) {
  Vector a0{}, a1{}, a2{}, a3{}, a4{}, a5{}, a6{}, a7{}, a8{}, a9{}, a10{}, a11{};
  const Real start = static_cast<Real>(*sink) * Real(1e-30) + Real(1);
  const Vector x = Vector{} + start * Real(0.999), y = Vector{} + start * Real(1e-3);
  for (int64_t i = 0; i < rounds; ++i) {
    a0 = a0 * x + y;
    a1 = a1 * x + y;
    a2 = a2 * x + y;
    a3 = a3 * x + y;
    a4 = a4 * x + y;
    a5 = a5 * x + y;
    a6 = a6 * x + y;
    a7 = a7 * x + y;
    a8 = a8 * x + y;
    a9 = a9 * x + y;
    a10 = a10 * x + y;
    a11 = a11 * x + y;
    // Keeps twelve separate chains: without it equal ones would be merged into one.
    __asm__ volatile("" : "+v"(a0), "+v"(a1), "+v"(a2), "+v"(a3), "+v"(a4), "+v"(a5));
    __asm__ volatile("" : "+v"(a6), "+v"(a7), "+v"(a8), "+v"(a9), "+v"(a10), "+v"(a11));
  }
  const Vector sum = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;
  for (int lane = 0; lane < kLanes; ++lane) *sink += static_cast<double>(sum[lane]);
  return rounds * kChains * kLanes * 2;
}

}  // namespace hecate::kernels::cpu::HECATE_ISA_NS
