#pragma once
#include <string>
#include <string_view>

#include "scheduler/population/population.h"

namespace hecate::pbt {

/// An event as one line of JSON and back, bit for bit.
/// @param space names the values.
std::string to_text(const population::Event& event, const population::SearchSpace& space);
/// @throws InvalidArgument for anything that to_text() did not make for this search space.
population::Event event_of(std::string_view text, const population::SearchSpace& space);

}  // namespace hecate::pbt
