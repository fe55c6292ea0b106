#include "scheduler/population/search_space.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/base/error.h"

namespace hecate::population {
namespace {

constexpr double kDefaultShare = 0.1;  // of the range, for additive changes

bool listed(const DimensionConfig& dimension) {
  return dimension.kind == "choice" || dimension.kind == "constant";
}

double clamped(const DimensionConfig& dimension, double value) {
  return std::clamp(value, dimension.min, dimension.max);
}

// Up or down the list; what would pass an end stays there.
double neighbour(const DimensionConfig& dimension, double value, Draws& draws) {
  const auto last = static_cast<double>(dimension.values.size() - 1);
  return std::clamp(draws.below(2) == 1 ? value + 1 : value - 1, 0.0, last);
}

// Rounding must not undo the change.
double whole(const DimensionConfig& dimension, double before, double after) {
  double rounded = std::round(after);
  if (rounded == before && after != before) rounded += after > before ? 1 : -1;
  return clamped(dimension, rounded);
}

std::string number_text(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value);
  return {text, end.ptr};
}

void check(const DimensionConfig& dimension) {
  const std::string name = concat("pbt.search: ", dimension.key);
  HECATE_CHECK(!dimension.key.empty(), "pbt.search: a table without key");
  if (listed(dimension)) {
    const bool one = dimension.kind == "constant";
    HECATE_CHECK(one ? dimension.values.size() == 1 : !dimension.values.empty(), name, " is a ",
                 dimension.kind, ": expected ", one ? "one value" : "values", ", got ",
                 dimension.values.size());
    return;
  }
  HECATE_CHECK(dimension.values.empty(), name, " has values, but its kind is ", dimension.kind,
               "; expected choice or constant");
  HECATE_CHECK(std::isfinite(dimension.min) && std::isfinite(dimension.max) &&
                   dimension.min <= dimension.max,
               name, ": min = ", dimension.min, " and max = ", dimension.max,
               ": expected two numbers, min not above max");
  HECATE_CHECK(dimension.kind != "log_uniform" || dimension.min > 0, name,
               ": log_uniform needs min above 0, got ", dimension.min,
               "; uniform with explore = additive can reach and leave 0");
  HECATE_CHECK(dimension.kind != "integer" || (std::floor(dimension.min) == dimension.min &&
                                               std::floor(dimension.max) == dimension.max),
               name, ": integer needs whole bounds, got ", dimension.min, " and ", dimension.max);
}

}  // namespace

SearchSpace::SearchSpace(std::vector<DimensionConfig> dimensions)
    : dimensions_(std::move(dimensions)) {
  for (size_t i = 0; i < dimensions_.size(); ++i) {
    check(dimensions_[i]);
    for (size_t j = 0; j < i; ++j)
      HECATE_CHECK(dimensions_[j].key != dimensions_[i].key, "pbt.search: ", dimensions_[i].key,
                   " is there twice");
  }
}

double SearchSpace::draw(const DimensionConfig& dimension, Draws& draws) const {
  if (listed(dimension)) return static_cast<double>(draws.below(dimension.values.size()));
  if (dimension.kind == "integer") {
    const auto span = static_cast<uint64_t>(dimension.max - dimension.min) + 1;
    return dimension.min + static_cast<double>(draws.below(span));
  }
  const double share = draws.uniform();
  if (dimension.kind == "uniform")
    return clamped(dimension, dimension.min + share * (dimension.max - dimension.min));
  const double low = std::log(dimension.min), high = std::log(dimension.max);
  return clamped(dimension, std::exp(low + share * (high - low)));
}

double SearchSpace::perturb(const DimensionConfig& dimension, double value,
                            const PopulationConfig& config, Draws& draws) const {
  if (listed(dimension)) return neighbour(dimension, value, draws);
  const double changed = value * config.factors[draws.below(config.factors.size())];
  return dimension.kind == "integer" ? whole(dimension, value, changed)
                                     : clamped(dimension, changed);
}

double SearchSpace::add(const DimensionConfig& dimension, double value, Draws& draws) const {
  if (listed(dimension)) return neighbour(dimension, value, draws);
  const bool log = dimension.kind == "log_uniform";
  const double range =
      log ? std::log(dimension.max / dimension.min) : dimension.max - dimension.min;
  const double scale = dimension.scale > 0 ? dimension.scale : kDefaultShare * range;
  const double step = scale * draws.normal();
  const double changed = log ? value * std::exp(step) : value + step;
  return dimension.kind == "integer" ? whole(dimension, value, changed)
                                     : clamped(dimension, changed);
}

Point SearchSpace::sample(Draws& draws) const {
  Point point;
  for (const DimensionConfig& dimension : dimensions_) point.push_back(draw(dimension, draws));
  return point;
}

Point SearchSpace::explore(const Point& point, const PopulationConfig& config, Draws& draws) const {
  Point result = point;
  for (size_t i = 0; i < dimensions_.size(); ++i) {
    const DimensionConfig& dimension = dimensions_[i];
    if (dimension.kind == "constant") continue;
    if (config.explore == "additive")
      result[i] = add(dimension, point[i], draws);
    else if (config.explore == "resample" && draws.uniform() < config.resample)
      result[i] = draw(dimension, draws);
    else
      result[i] = perturb(dimension, point[i], config, draws);
  }
  return result;
}

Settings SearchSpace::settings(const Point& point) const {
  Settings settings;
  for (size_t i = 0; i < dimensions_.size(); ++i) {
    const DimensionConfig& dimension = dimensions_[i];
    settings.emplace_back(dimension.key, listed(dimension)
                                             ? dimension.values[static_cast<size_t>(point[i])]
                                             : number_text(point[i]));
  }
  return settings;
}

Point SearchSpace::parse(const Settings& settings) const {
  Point point;
  for (const DimensionConfig& dimension : dimensions_) {
    const auto found = std::ranges::find(settings, dimension.key, &Settings::value_type::first);
    HECATE_CHECK(found != settings.end(), "hyper-parameters without ", dimension.key);
    const std::string& text = found->second;
    if (listed(dimension)) {
      const auto value = std::ranges::find(dimension.values, text);
      HECATE_CHECK(value != dimension.values.end(), dimension.key, " = '", text,
                   "' is none of its values in pbt.search");
      point.push_back(static_cast<double>(value - dimension.values.begin()));
      continue;
    }
    double value = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
    HECATE_CHECK(end.ec == std::errc{} && end.ptr == text.data() + text.size() &&
                     value >= dimension.min && value <= dimension.max,
                 dimension.key, " = '", text, "': expected a number from ", dimension.min, " to ",
                 dimension.max);
    point.push_back(value);
  }
  return point;
}

}  // namespace hecate::population
