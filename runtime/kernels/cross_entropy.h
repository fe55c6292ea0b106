#pragma once
#include <cstdint>

#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate {
class Stream;
}

/// Output head fused with softmax cross-entropy, in chunks of rows: at most `chunk_rows` x V logits
/// exist at a time, in the stream's workspace.
namespace hecate::kernels {

struct HeadLoss {
  double loss_sum = 0;  ///< sum of -log p(target) over valid tokens, in nats, summed in f64
  int64_t tokens = 0;   ///< valid tokens: target >= 0
};

struct HeadOptions {
  Real logit_scale = 1;  ///< logits = logit_scale * x w^T
  int64_t chunk_rows = 256;
};

/// x [T,D], w [V,D], targets [T] in [0,V) or negative (masked: no loss, no gradient).
/// token_loss, when not empty, is [T]: each token's loss, 0 where masked.
HeadLoss head_loss(Stream& s, const HeadOptions& options, View<const Real> x, View<const Real> w,
                   View<const int32_t> targets, View<Real> token_loss);

/// The same, and the gradients of gradient_scale * loss_sum: dx written, dw accumulated (+=).
HeadLoss head_loss_and_gradient(Stream& s, const HeadOptions& options, Real gradient_scale,
                                View<const Real> x, View<const Real> w, View<const int32_t> targets,
                                View<Real> dx, View<Real> dw);

}  // namespace hecate::kernels
