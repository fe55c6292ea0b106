#include "scheduler/length.h"

#include <cmath>
#include <optional>

#include "runtime/base/error.h"

namespace hecate::scheduler {
namespace {

std::optional<double> factor_of(char letter) {
  switch (letter) {
    case 'k':
      return 1e3;
    case 'M':
      return 1e6;
    case 'B':
      return 1e9;
    case 'T':
      return 1e12;
    default:
      return std::nullopt;
  }
}

std::optional<Length> parsed(const std::string& text, Length::Unit bare) {
  size_t used = 0;
  Length length{.unit = bare};
  try {
    length.value = std::stod(text, &used);
  } catch (const std::exception&) {
    return std::nullopt;
  }
  if (used < text.size())
    if (const auto factor = factor_of(text[used])) {
      length.value *= *factor;
      ++used;
    }
  while (used < text.size() && text[used] == ' ') ++used;
  const std::string unit = text.substr(used);
  if (unit == "%") {
    length.unit = Length::Unit::share;
    length.value /= 100;
  } else if (unit == "steps" || unit == "step") {
    length.unit = Length::Unit::steps;
  } else if (unit == "tokens") {
    length.unit = Length::Unit::tokens;
  } else if (!unit.empty()) {
    return std::nullopt;
  }
  return length;
}

}  // namespace

Length parse_length(const std::string& key, const std::string& text, Length::Unit bare) {
  const auto length = parsed(text, bare);
  HECATE_CHECK(
      length, key, " = '", text,
      "': expected steps (200), tokens (1e9 tokens, 1B tokens) or a share of the run (2%)");
  HECATE_CHECK(std::isfinite(length->value) && length->value >= 0, key, " = '", text,
               "': expected a finite length, at least 0");
  HECATE_CHECK(length->unit != Length::Unit::share || length->value <= 1, key, " = '", text,
               "': longer than the run; expected at most 100%");
  return *length;
}

}  // namespace hecate::scheduler
