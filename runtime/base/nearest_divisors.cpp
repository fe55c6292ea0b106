#include "runtime/base/nearest_divisors.h"

#include "runtime/base/error.h"

namespace hecate {

std::string nearest_divisors(int64_t whole, int64_t wanted) {
  int64_t below = 0, above = 0;
  for (int64_t divisor = 1; divisor <= whole; ++divisor) {
    if (whole % divisor != 0) continue;
    if (divisor <= wanted) below = divisor;
    if (divisor >= wanted && above == 0) above = divisor;
  }
  if (below == 0 || below == above) return std::to_string(above);
  return above == 0 ? std::to_string(below) : concat(below, " or ", above);
}

}  // namespace hecate
