#pragma once
#include <span>
#include <string>

#include "scheduler/population/population.h"

namespace hecate::launcher {

/// An SVG picture of who became a copy of whom: a line per member over the steps, coloured by
/// score, an arrow per copy; what led to the best member is thick.
std::string lineage_svg(const population::Population& population,
                        std::span<const population::Event> events);

/// An SVG picture of the values over the steps, a panel per hyper-parameter: every member's model,
/// the best one's thick.
std::string schedules_svg(const population::Population& population,
                          std::span<const population::Event> events);

}  // namespace hecate::launcher
