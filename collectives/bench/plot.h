#pragma once
#include <span>
#include <string>

#include "collectives/bench/report.h"

namespace hecate::collectives::bench {

/// An SVG picture of what the records hold: bus bandwidth over size for the dense collectives (the
/// library's dashed) and lower bound / measured for the sparse ones, by algorithm.
std::string plot_svg(std::span<const Record> records);

}  // namespace hecate::collectives::bench
