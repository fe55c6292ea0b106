#pragma once
#include <span>
#include <string>
#include <string_view>

namespace hecate {

/// The candidate with the smallest edit distance to `name` (first one on ties); empty when there
/// are no candidates or none is closer than half of the longer name.
std::string nearest_name(std::string_view name, std::span<const std::string> candidates);

}  // namespace hecate
