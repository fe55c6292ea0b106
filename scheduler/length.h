#pragma once
#include <cstdint>
#include <string>

namespace hecate::scheduler {

/// How long something lasts, as the configuration writes it: "200" or "200 steps", "1e9 tokens" (k,
/// M, B and T multiply: "1.5B tokens"), "10%" of the run.
struct Length {
  enum class Unit : uint8_t { steps, tokens, share };

  Unit unit = Unit::steps;
  double value = 0;  ///< a share from 0 to 1
};

/// @param bare the unit of a number without one.
/// @throws InvalidArgument naming `key` for anything else, a negative or not finite number, or a
///   share above 100%.
Length parse_length(const std::string& key, const std::string& text,
                    Length::Unit bare = Length::Unit::steps);

}  // namespace hecate::scheduler
