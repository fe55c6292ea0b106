#pragma once
#include <cstdint>
#include <string>

namespace hecate {

/// The divisors of `whole` next below and above `wanted`: "2 or 4", or one of them where there is
/// no other. Both at least 1.
std::string nearest_divisors(int64_t whole, int64_t wanted);

}  // namespace hecate
