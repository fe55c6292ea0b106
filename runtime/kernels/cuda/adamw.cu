#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.cuh"
#include "runtime/kernels/cuda/math.cuh"
#include "runtime/kernels/math/adamw.h"

namespace hecate::kernels::cuda {

void adamw(Stream& s, const AdamW& options, std::span<const AdamWPiece> pieces) {
  const math::AdamWConstants c = math::adamw_constants(options);
  for (const AdamWPiece& piece : pieces)
    map(s, "adamw", piece.size, [=] __device__(int64_t i) {
      math::adamw<Math>(c, piece.parameter[i], piece.gradient[i], piece.first_moment[i],
                        piece.second_moment[i]);
    });
}

}  // namespace hecate::kernels::cuda
