#pragma once
#include <map>
#include <string>

#include "scheduler/pbt/coordinator.h"

namespace hecate::launcher {

/// The members as a table, one line each under a heading: number, state, step, score, who it is a
/// copy of (oldest first), values; the best one is marked.
std::string population_table(const population::Population& population,
                             const std::map<int, pbt::Coordinator::Live>& live);

}  // namespace hecate::launcher
