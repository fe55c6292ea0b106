#pragma once
#include <string>

#include "models/builder.h"

namespace hecate::models {

/// Pre-norm of a branch: RMS or layer norm over D, by the configuration.
class Norm {
 public:
  struct Saved {
    BufferId x, y, mean, rstd;
  };
  /// @param name of its parameters: "attention.norm", "ffn.norm" or "final_norm".
  Norm(const Builder& b, std::string name);

  /// y [rows, N] from x [rows, N].
  Saved forward(Builder& b, BufferId x, int64_t rows) const;
  /// Adds the gradient by x to dx, or writes it when `accumulate` is false.
  void backward(Builder& b, const Saved& saved, BufferId dy, int64_t rows, BufferId dx,
                bool accumulate) const;

 private:
  std::string name_;
  bool layer_norm_;
  Real eps_;
  Weight weight_, bias_;
};

/// Clears gradients that kernels only add to, where they start anew: in the first micro-batch of a
/// step, or in every one (Builder::fresh_gradients).
void clear_gradients(Builder& b, const std::string& name, std::vector<Weight> weights);

}  // namespace hecate::models
