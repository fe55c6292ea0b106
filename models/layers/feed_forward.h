#pragma once
#include <string>

#include "models/builder.h"
#include "runtime/kernels/activation.h"

namespace hecate::models {

/// The activation between two projections: `up` rows are [F], or [2F] gate first when gated.
struct FeedForwardActivation {
  explicit FeedForwardActivation(const ModelConfig& config);
  int64_t fan() const { return gated ? 2 : 1; }
  /// out [R,F] from up [R, fan F].
  void forward(Stream& s, View<const Real> up, View<Real> out) const;
  /// dup (may alias up) from dout [R,F].
  void backward(Stream& s, View<const Real> up, View<const Real> dout, View<Real> dup) const;

  bool gated;
  kernels::Activation kind;
};

/// Dense feed-forward: down(act(up(x))). Parameters <prefix>.up and <prefix>.down.
class FeedForward {
 public:
  struct Saved {
    BufferId x, up, hidden;
  };
  /// @param prefix "ffn" or "ffn.shared".
  FeedForward(const Builder& b, std::string prefix);

  BufferId forward(Builder& b, BufferId x, Saved& saved) const;
  BufferId backward(Builder& b, const Saved& saved, BufferId dy) const;

 private:
  std::string prefix_;
  int64_t tokens_;
  FeedForwardActivation activation_;
  Weight up_, down_;
};

}  // namespace hecate::models
