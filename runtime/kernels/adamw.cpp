#include "runtime/kernels/adamw.h"

#include <algorithm>
#include <cmath>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/elementwise.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kBlock = 1 << 15;

// The Real constants of one update, computed in f64.
template <class Constants>
Constants constants(const AdamW& o) {
  const auto step = static_cast<double>(o.step);
  const double correction1 = 1 - std::pow(o.beta1, step), correction2 = 1 - std::pow(o.beta2, step);
  const auto real = [](double value) { return static_cast<Real>(value); };
  return {.gradient_scale = real(o.gradient_scale),
          .beta1 = real(o.beta1),
          .beta2 = real(o.beta2),
          .step_size = real(o.rate / correction1),
          .root_correction = real(1 / std::sqrt(correction2)),
          .eps = real(o.eps),
          .keep = real(1 - o.rate * o.weight_decay)};
}

void update(const AdamW& options, const AdamWPiece& piece, int64_t begin, int64_t n) {
  Real *p = piece.parameter + begin, *m = piece.first_moment + begin,
       *v = piece.second_moment + begin;
  const Real* g = piece.gradient + begin;
  switch (cpu::active_isa()) {
    case cpu::Isa::avx512:
      return cpu::avx512::adamw(n, constants<cpu::avx512::AdamWConstants>(options), p, g, m, v);
    case cpu::Isa::avx2:
      return cpu::avx2::adamw(n, constants<cpu::avx2::AdamWConstants>(options), p, g, m, v);
    case cpu::Isa::baseline:
      return cpu::baseline::adamw(n, constants<cpu::baseline::AdamWConstants>(options), p, g, m, v);
  }
}

}  // namespace

void adamw(Stream& s, const AdamW& options, std::span<const AdamWPiece> pieces) {
  HECATE_CHECK(options.step >= 1, "adamw: step ", options.step, ", the first is 1");
  ThreadPool& pool = cpu_stream(s, "adamw").pool();
  for (const AdamWPiece& piece : pieces)
    pool.parallel_for((piece.size + kBlock - 1) / kBlock, [&](int64_t block, int) {
      const int64_t begin = block * kBlock;
      update(options, piece, begin, std::min(kBlock, piece.size - begin));
    });
}

}  // namespace hecate::kernels
