#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "scheduler/population/config.h"
#include "scheduler/population/draws.h"

namespace hecate::population {

/// One value per dimension, in the space's order: the number, or for choices and constants the
/// index into the values.
using Point = std::vector<double>;

/// Keys with their values as text that reads back to the same number.
using Settings = std::vector<std::pair<std::string, std::string>>;

/// The hyper-parameters that are searched. Every point that comes out of it is within the bounds.
class SearchSpace {
 public:
  SearchSpace() = default;
  /// @throws InvalidArgument naming the key: bounds that are missing, crossed or, for log_uniform,
  ///   not above 0; choices without values; a key twice.
  explicit SearchSpace(std::vector<DimensionConfig> dimensions);

  std::span<const DimensionConfig> dimensions() const { return dimensions_; }

  /// From the prior.
  Point sample(Draws& draws) const;
  /// A neighbour of `point` as `config.explore` says. `perturb` multiplies: a value of 0 stays 0;
  /// an integer moves by at least 1; a choice becomes the value before or behind it. `additive`
  /// moves zeros too, and choices like perturb. Constants stay. What would pass a bound or an end
  /// stops there.
  Point explore(const Point& point, const PopulationConfig& config, Draws& draws) const;

  Settings settings(const Point& point) const;
  /// The point that settings() made the texts of; other keys are ignored.
  /// @throws InvalidArgument naming a key that is missing or whose value is none of the space.
  Point parse(const Settings& settings) const;

 private:
  double draw(const DimensionConfig& dimension, Draws& draws) const;
  double perturb(const DimensionConfig& dimension, double value, const PopulationConfig& config,
                 Draws& draws) const;
  double add(const DimensionConfig& dimension, double value, Draws& draws) const;

  std::vector<DimensionConfig> dimensions_;
};

}  // namespace hecate::population
