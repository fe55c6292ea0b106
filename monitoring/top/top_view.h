#pragma once
#include <string>
#include <vector>

#include "monitoring/top/top_state.h"

namespace hecate::monitoring {

struct TopLayout {
  int width = 80, height = 24;  ///< of the terminal, in characters
  bool colour = false;          ///< escape sequences for colours
};

/// What a terminal shows: at most `height` lines of at most `width` characters (as UTF-8), without
/// line breaks. Little room leaves out ranks and layers first, then says how many are not shown.
/// @param source what is looked at. @param note said below it; empty: nothing.
std::vector<std::string> top_frame(const TopState& state, const std::string& source,
                                   const std::string& note, const TopLayout& layout);

/// The values' means over `width` equal parts as bars of eighths, least at the foot; blank where
/// nothing is known.
std::string sparkline(const std::vector<double>& values, int width);

}  // namespace hecate::monitoring
