#include "scheduler/population/welch.h"

#include <boost/math/distributions/students_t.hpp>
#include <cmath>
#include <limits>
#include <numeric>

namespace hecate::population {
namespace {

struct Moments {
  double mean = 0, squared_error = 0;  // of the mean
};

Moments moments(std::span<const double> values) {
  const auto count = static_cast<double>(values.size());
  Moments result;
  result.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (double value : values) squares += (value - result.mean) * (value - result.mean);
  result.squared_error = squares / (count - 1) / count;
  return result;
}

}  // namespace

WelchTest welch_test(std::span<const double> a, std::span<const double> b) {
  WelchTest result;
  if (a.size() < 2 || b.size() < 2) return result;
  const Moments x = moments(a), y = moments(b);
  const double error = x.squared_error + y.squared_error;
  const double difference = x.mean - y.mean;
  if (!std::isfinite(difference) || !std::isfinite(error)) return result;
  if (error == 0) {
    if (difference == 0) return result;
    result.t = std::copysign(std::numeric_limits<double>::infinity(), difference);
    result.p_value = 0;
    return result;
  }
  result.t = difference / std::sqrt(error);
  result.degrees_of_freedom =
      error * error /
      (x.squared_error * x.squared_error / static_cast<double>(a.size() - 1) +
       y.squared_error * y.squared_error / static_cast<double>(b.size() - 1));
  const boost::math::students_t distribution(result.degrees_of_freedom);
  result.p_value = 2 * boost::math::cdf(boost::math::complement(distribution, std::abs(result.t)));
  return result;
}

}  // namespace hecate::population
