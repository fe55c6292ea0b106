#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

/// How a configuration struct lists its keys, once, for parsing, checking, printing and
/// documentation. Each folder owns its structs; launcher/config visits them.
///
/// ```
/// struct TrainConfig {
///   int64_t steps = 1000;
///   std::string on_spike = "stop";
///   template <class Self, class Visitor>
///   static void fields(Self& self, Visitor&& visit) {
///     visit("steps", self.steps, "optimizer steps in the run", at_least(1));
///     visit("on_spike", self.on_spike, "what a loss spike does", one_of({"stop", "skip"}));
///   }
/// };
/// ```
/// A member that has `fields` itself is a nested table. Allowed leaf types: bool, int64_t, double,
/// std::string, std::vector<int64_t>, std::vector<double>, std::vector<std::string>, and
/// std::vector of a struct with `fields` (an array of tables). Keys are snake_case.
namespace hecate::config {

/// What values a key accepts; an empty list of choices means any.
struct Limits {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices;
};

inline Limits any() {
  return {};
}
inline Limits between(double min, double max) {
  Limits limits;
  limits.min = min;
  limits.max = max;
  return limits;
}
inline Limits at_least(double min) {
  return between(min, std::numeric_limits<double>::infinity());
}
inline Limits one_of(std::vector<std::string> choices) {
  Limits limits;
  limits.choices = std::move(choices);
  return limits;
}

}  // namespace hecate::config
