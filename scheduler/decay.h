#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace hecate::scheduler {

/// How a decay goes from 1 to its floor r over a progress p from 0 to 1 (constant on both sides):
/// - linear          r + (1 - r)(1 - p)
/// - cosine          r + (1 - r)(1 + cos(pi p)) / 2
/// - one_minus_sqrt  r + (1 - r)(1 - sqrt(p))
/// - half            max(r, 0.5^(p n)), n half-lives in the whole decay; ends above r if n is small
/// - inverse         1 / (p / r + 1 - p), arXiv 2410.05192
/// - exp             [(1 - r) e e^-p + r e - 1] / (e - 1), arXiv 2408.13359
/// - geometric       r^p, arXiv 2503.12167
class Decay {
 public:
  /// @param half_lives n of `half`; unused by the others.
  /// @throws InvalidArgument for an unknown name (listing the known), a floor outside [0, 1], a
  ///   floor of 0 where the formula needs more, half without half-lives.
  Decay(const std::string& name, double floor_ratio, double half_lives = 0);

  double operator()(double progress) const;

  static const std::vector<std::string>& names();

 private:
  enum class Kind : uint8_t { linear, cosine, one_minus_sqrt, half, inverse, exp, geometric };

  Kind kind_;
  double floor_, half_lives_;
};

}  // namespace hecate::scheduler
