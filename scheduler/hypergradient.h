#pragma once
#include "runtime/base/config_fields.h"

/// A factor on the schedule's rate that follows how the gradient agrees with the update before it:
/// it grows while they point the same way, since a larger step would have been better, and shrinks
/// when they oppose each other.
///
/// Sources: the global scheduler of FedHyper, arXiv:2310.03156, equation 8, whose rate moves by the
/// clipped inner product of successive updates; with Adam, whose successive updates share their
/// momentum and so agree whatever happens, the derivative by the rate is the inner product of the
/// gradient and the last update: Baydin et al. 2017, arXiv:1703.04782, section 3. Here the product
/// is divided by both norms, so that neither the loss's scale nor the model's size matters, and the
/// factor moves by a ratio.
namespace hecate::scheduler {

struct HypergradientConfig {
  bool enabled = false;
  double strength = 0.02;
  double bound = 3;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit(
        "enabled", self.enabled,
        "a factor on the schedule's rate follows how gradients agree with the updates before them",
        any());
    visit("strength", self.strength, "what full agreement adds to the factor in a step, as a share",
          between(0, 0.5));
    visit("bound", self.bound, "the factor stays between 1 / this and this", at_least(1));
  }
};

/// Sums over all parameters that are trained.
struct UpdateAlignment {
  double product = 0;           ///< of the descent direction (minus the gradient) and last update
  double gradient_squares = 0;  ///< of the gradient
  double update_squares = 0;    ///< of the last update, per unit of the rate
};

/// product / (norms), in [-1, 1]; 0 where a norm is 0 or not finite.
double cosine(const UpdateAlignment& alignment);

/// The factor after one more step: factor * (1 + strength * cosine), kept in [1 / bound, bound].
double next_rate_factor(const HypergradientConfig& config, double factor,
                        const UpdateAlignment& alignment);

}  // namespace hecate::scheduler
