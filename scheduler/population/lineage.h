#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "scheduler/population/population.h"

namespace hecate::population {

/// From update `step` + 1 on, a model was trained with `point`.
struct Segment {
  int64_t step = 0;
  int member = 0;  ///< who trained it
  Point point;
};

/// The values that the model of every member was trained with, from its first step on: after a copy
/// the donor's up to the step of the copy, then its own.
std::vector<std::vector<Segment>> schedules(std::span<const Event> events);

}  // namespace hecate::population
