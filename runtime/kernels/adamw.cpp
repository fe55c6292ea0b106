#include "runtime/kernels/adamw.h"

#include <algorithm>
#include <cmath>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/elementwise.h"
#include "runtime/kernels/cuda/kernels.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kBlock = 1 << 15;

int64_t blocks_of(const AdamWPiece& piece) {
  return (piece.size + kBlock - 1) / kBlock;
}

}  // namespace

math::AdamWConstants math::adamw_constants(const AdamW& o) {
  const auto step = static_cast<double>(o.step);
  const auto real = [](double value) { return static_cast<Real>(value); };
  return {.gradient_scale = real(o.gradient_scale),
          .beta1 = real(o.beta1),
          .rest1 = real(1 - o.beta1),
          .beta2 = real(o.beta2),
          .rest2 = real(1 - o.beta2),
          .step_size = real(o.rate / (1 - std::pow(o.beta1, step))),
          .root_correction = real(1 / std::sqrt(1 - std::pow(o.beta2, step))),
          .eps = real(o.eps),
          .keep = real(1 - o.rate * o.weight_decay)};
}

void adamw(Stream& s, const AdamW& options, std::span<const AdamWPiece> pieces) {
  HECATE_CHECK(options.step >= 1, "adamw: step ", options.step, ", the first is 1");
  if (s.device() == DeviceKind::cuda) return cuda::adamw(s, options, pieces);
  const math::AdamWConstants c = math::adamw_constants(options);
  int64_t blocks = 0;
  for (const AdamWPiece& piece : pieces) blocks += blocks_of(piece);
  cpu_stream(s, "adamw").pool().parallel_for(blocks, [&](int64_t block, int) {
    const AdamWPiece* piece = pieces.data();
    for (; block >= blocks_of(*piece); ++piece) block -= blocks_of(*piece);
    const int64_t begin = block * kBlock, n = std::min(kBlock, piece->size - begin);
    HECATE_ISA_CALL(adamw, n, c, piece->parameter + begin, piece->gradient + begin,
                    piece->first_moment + begin, piece->second_moment + begin);
  });
}

}  // namespace hecate::kernels
