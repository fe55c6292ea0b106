#include "scheduler/decay.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "runtime/base/error.h"
#include "scheduler/names.h"

namespace hecate::scheduler {

const std::vector<std::string>& Decay::names() {
  static const std::vector<std::string> all = {"linear",  "cosine", "one_minus_sqrt", "half",
                                               "inverse", "exp",    "geometric"};
  return all;
}

Decay::Decay(const std::string& name, double floor_ratio, double half_lives)
    : kind_(static_cast<Kind>(index_of("schedule.decay_shape", name, names()))),
      floor_(floor_ratio),
      half_lives_(half_lives) {
  HECATE_CHECK(floor_ >= 0 && floor_ <= 1, "schedule.floor_ratio = ", floor_,
               ": expected a share of the peak, from 0 to 1");
  HECATE_CHECK(floor_ > 0 || (kind_ != Kind::inverse && kind_ != Kind::geometric),
               "schedule.decay_shape = ", name,
               " never reaches schedule.floor_ratio = 0: expected ",
               "a floor above 0, such as 0.1, or another shape");
  HECATE_CHECK(kind_ != Kind::half || (half_lives_ > 0 && std::isfinite(half_lives_)),
               "schedule.decay_shape = half needs schedule.half_life above 0");
}

double Decay::operator()(double progress) const {
  constexpr double e = std::numbers::e;
  const double p = std::clamp(progress, 0.0, 1.0), r = floor_;
  switch (kind_) {
    case Kind::linear:
      return r + (1 - r) * (1 - p);
    case Kind::cosine:
      return r + (1 - r) * 0.5 * (1 + std::cos(std::numbers::pi * p));
    case Kind::one_minus_sqrt:
      return r + (1 - r) * (1 - std::sqrt(p));
    case Kind::half:
      return std::max(r, std::exp2(-p * half_lives_));
    case Kind::inverse:
      return 1 / (p / r + (1 - p));
    case Kind::exp:
      // 0 at the end of a decay without a floor, where rounding could give a little less.
      return std::max(r, ((1 - r) * e * std::exp(-p) + r * e - 1) / (e - 1));
    case Kind::geometric:
      return std::pow(r, p);
  }
  return 1;
}

}  // namespace hecate::scheduler
