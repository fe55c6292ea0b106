#pragma once
#include <cstdint>
#include <span>

#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate {
class Stream;
}

namespace hecate::kernels {

struct AdamW {
  double rate = 1e-3, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0;
  int64_t step = 1;           ///< 1 for the first update: bias correction
  double gradient_scale = 1;  ///< clipping factor, multiplies every gradient
};

/// One contiguous piece of parameters with its gradient and moments, all of `size` elements.
struct AdamWPiece {
  Real* parameter = nullptr;
  const Real* gradient = nullptr;
  Real* first_moment = nullptr;
  Real* second_moment = nullptr;
  int64_t size = 0;
};

/// Decoupled weight decay: p -= rate * (m_hat / (sqrt(v_hat) + eps) + weight_decay * p), the decay
/// applied to the parameter before the update as in PyTorch.
/// Element-wise, so the result does not depend on how pieces are cut.
/// Source: Loshchilov & Hutter 2017, arXiv:1711.05101, algorithm 2.
void adamw(Stream& s, const AdamW& options, std::span<const AdamWPiece> pieces);

}  // namespace hecate::kernels
