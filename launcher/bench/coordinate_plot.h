#pragma once
#include <string>

#include "launcher/bench/coordinate_check.h"

namespace hecate::launcher {

/// An SVG picture: a row of panels with muP over a row without it, one panel per coordinate, value
/// over width (both logarithmic), a line per step from light (first) to dark (last). Panels above
/// each other share their axes.
std::string coordinate_plot(const CoordinateCheck& with, const CoordinateCheck& without);

/// The worst growth of each coordinate with and without muP, as lines of text.
std::string coordinate_text(const CoordinateCheck& with, const CoordinateCheck& without);

}  // namespace hecate::launcher
