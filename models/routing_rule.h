#pragma once
#include <cstdint>
#include <string>

namespace hecate::models {

/// What `router.source` says.
struct RoutingRule {
  enum class Kind : uint8_t { learned, even, zipf, replay };
  Kind kind = Kind::learned;
  double exponent = 0;  ///< of zipf
  std::string file;     ///< of replay
};

/// "learned", "even", "zipf:S" with S >= 0, or "replay:FILE".
/// @throws InvalidArgument for anything else, with the nearest form.
RoutingRule parse_routing_rule(const std::string& text);

}  // namespace hecate::models
