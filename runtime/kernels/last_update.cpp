#include "runtime/kernels/last_update.h"

#include <algorithm>
#include <cmath>

#include "runtime/device/stream.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kBlock = 1 << 15;

}  // namespace

LastUpdate last_update(Stream& s, const AdamW& options, const AdamWPiece& piece) {
  HECATE_CHECK(options.step >= 1, "last_update: step ", options.step, ", the first is 1");
  const auto step = static_cast<double>(options.step);
  const double correct1 = 1 / (1 - std::pow(options.beta1, step));
  const double correct2 = 1 / (1 - std::pow(options.beta2, step));
  const int64_t blocks = (piece.size + kBlock - 1) / kBlock;
  CpuStream& stream = cpu_stream(s, "last_update");
  auto* partial = reinterpret_cast<LastUpdate*>(
      stream.workspace(static_cast<size_t>(std::max<int64_t>(1, blocks)) * sizeof(LastUpdate)));
  stream.pool().parallel_for(blocks, [&](int64_t block, int) {
    LastUpdate sums;
    for (int64_t i = block * kBlock; i < std::min(piece.size, (block + 1) * kBlock); ++i) {
      const double root = std::sqrt(correct2 * static_cast<double>(piece.second_moment[i]));
      const double update =
          correct1 * static_cast<double>(piece.first_moment[i]) / (root + options.eps);
      sums.product += update * static_cast<double>(piece.gradient[i]);
      sums.squares += update * update;
    }
    partial[block] = sums;
  });
  LastUpdate total;
  for (int64_t block = 0; block < blocks; ++block) {
    total.product += partial[block].product;
    total.squares += partial[block].squares;
  }
  return total;
}

}  // namespace hecate::kernels
