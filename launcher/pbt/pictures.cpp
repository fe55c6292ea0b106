#include "launcher/pbt/pictures.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "runtime/base/error.h"
#include "scheduler/population/lineage.h"

namespace hecate::launcher {
namespace {

using population::Event;
using population::EventKind;

constexpr double kWidth = 860, kLeft = 110, kRight = 30, kTop = 40, kLane = 34, kPanel = 170;

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.5g", value);
  return text;
}

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else
      out += c;
  }
  return out;
}

class Picture {
 public:
  explicit Picture(double height, const std::string& title) {
    out_ = concat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", kWidth, " ", height,
                  "\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" "
                  "height=\"100%\" fill=\"#fff\"/>\n");
    text(kLeft, 20, title, "#222", "start", "bold");
  }
  void line(double x0, double y0, double x1, double y1, const std::string& color, double width) {
    out_ += concat("<line x1=\"", number(x0), "\" y1=\"", number(y0), "\" x2=\"", number(x1),
                   "\" y2=\"", number(y1), "\" stroke=\"", color, "\" stroke-width=\"", width,
                   "\"/>\n");
  }
  void dot(double x, double y, double radius, const std::string& color) {
    out_ += concat("<circle cx=\"", number(x), "\" cy=\"", number(y), "\" r=\"", radius,
                   "\" fill=\"", color, "\"/>\n");
  }
  void text(double x, double y, const std::string& words, const std::string& color,
            const std::string& anchor, const std::string& weight = "normal") {
    out_ += concat("<text x=\"", number(x), "\" y=\"", number(y), "\" fill=\"", color,
                   "\" text-anchor=\"", anchor, "\" font-weight=\"", weight, "\">", escaped(words),
                   "</text>\n");
  }
  std::string finish() { return out_ + "</svg>\n"; }

 private:
  std::string out_;
};

double x_of(double step, int64_t steps) {
  return kLeft +
         (kWidth - kLeft - kRight) * step / static_cast<double>(std::max<int64_t>(1, steps));
}

void step_axis(Picture& picture, double y, int64_t steps) {
  for (int i = 0; i <= 4; ++i) {
    const double step = static_cast<double>(steps) * i / 4;
    picture.text(x_of(step, steps), y, number(step), "#666", "middle");
  }
}

// From bad (red) to good (blue) by rank among the values.
std::string color_of(double goodness) {
  const auto part = [&](double from, double to) {
    return static_cast<int>(from + (to - from) * std::clamp(goodness, 0.0, 1.0));
  };
  char text[16];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", part(200, 30), part(70, 110), part(50, 190));
  return text;
}

// How good each reported score is among those of the same step: 1 the best.
std::map<std::pair<int64_t, double>, double> goodness_of(const population::Population& population,
                                                         std::span<const Event> events) {
  std::map<int64_t, std::vector<double>> by_step;
  for (const Event& event : events)
    if (event.kind == EventKind::report && std::isfinite(event.score))
      by_step[event.step].push_back(event.score);
  std::map<std::pair<int64_t, double>, double> result;
  for (auto& [step, scores] : by_step) {
    std::ranges::sort(scores);
    if (population.config().mode == "min") std::ranges::reverse(scores);
    for (size_t i = 0; i < scores.size(); ++i)
      result[{step, scores[i]}] =
          scores.size() == 1 ? 1.0
                             : static_cast<double>(i) / static_cast<double>(scores.size() - 1);
  }
  return result;
}

double value_position(const population::DimensionConfig& dimension, double value) {
  if (dimension.kind == "choice" || dimension.kind == "constant")
    return dimension.values.size() < 2 ? 0.5
                                       : value / static_cast<double>(dimension.values.size() - 1);
  if (dimension.min >= dimension.max) return 0.5;
  if (dimension.kind == "log_uniform")
    return std::log(value / dimension.min) / std::log(dimension.max / dimension.min);
  return (value - dimension.min) / (dimension.max - dimension.min);
}

}  // namespace

std::string lineage_svg(const population::Population& population, std::span<const Event> events) {
  const size_t members = population.members().size();
  Picture picture(kTop + kLane * static_cast<double>(members) + 40,
                  "Lineage: score within its step from worst (red) to best (blue)");
  const auto goodness = goodness_of(population, events);
  const auto y_of = [&](int member) { return kTop + kLane * (member + 0.5); };
  std::set<int> led;  // to the best member
  const auto best = population.best();
  if (best) {
    led.insert(*best);
    for (int ancestor : population.members()[static_cast<size_t>(*best)].ancestors)
      led.insert(ancestor);
  }
  for (size_t i = 0; i < members; ++i) {
    const int member = static_cast<int>(i);
    picture.text(kLeft - 12, y_of(member) + 4,
                 concat("member ", member, best && *best == member ? " *" : ""), "#222", "end",
                 led.contains(member) ? "bold" : "normal");
  }
  std::vector<int64_t> at(members, 0);
  std::map<int, population::Copy> decided;
  for (const Event& event : events) {
    const auto member = static_cast<size_t>(event.member);
    if (event.kind == EventKind::lease && event.copy) decided[event.member] = *event.copy;
    if (event.kind == EventKind::report) {
      const auto found = goodness.find({event.step, event.score});
      const std::string color = found == goodness.end() ? "#000" : color_of(found->second);
      picture.line(x_of(static_cast<double>(at[member]), population.steps()), y_of(event.member),
                   x_of(static_cast<double>(event.step), population.steps()), y_of(event.member),
                   color, led.contains(event.member) ? 5 : 2);
      at[member] = event.step;
    }
    if (event.kind == EventKind::failed && event.diverged)
      picture.text(x_of(static_cast<double>(at[member]), population.steps()),
                   y_of(event.member) + 4, "x", "#000", "middle", "bold");
    if (event.kind == EventKind::copied && decided.contains(event.member)) {
      const population::Copy& copy = decided[event.member];
      const double x = x_of(static_cast<double>(copy.step), population.steps());
      picture.line(x, y_of(copy.donor), x, y_of(event.member), "#888", 1);
      picture.dot(x, y_of(event.member), 3.5, "#444");
      at[member] = copy.step;
    }
  }
  step_axis(picture, kTop + kLane * static_cast<double>(members) + 24, population.steps());
  return picture.finish();
}

std::string schedules_svg(const population::Population& population, std::span<const Event> events) {
  const auto dimensions = population.space().dimensions();
  Picture picture(kTop + kPanel * static_cast<double>(dimensions.size()) + 20,
                  "Values that the members' models were trained with; thick: the best");
  const auto all = population::schedules(events);
  const auto best = population.best();
  for (size_t d = 0; d < dimensions.size(); ++d) {
    const population::DimensionConfig& dimension = dimensions[d];
    const bool listed = dimension.kind == "choice" || dimension.kind == "constant";
    const double top = kTop + kPanel * static_cast<double>(d) + 14, height = kPanel - 50;
    const auto y_of = [&](double value) {
      return top + height * (1 - value_position(dimension, value));
    };
    picture.text(kLeft, top - 4, dimension.key, "#222", "start", "bold");
    picture.text(kLeft - 8, top + 10, listed ? dimension.values.back() : number(dimension.max),
                 "#666", "end");
    picture.text(kLeft - 8, top + height, listed ? dimension.values.front() : number(dimension.min),
                 "#666", "end");
    picture.line(kLeft, top + height, kWidth - kRight, top + height, "#ccc", 1);
    const auto draw = [&](size_t member, const std::string& color, double width) {
      const std::vector<population::Segment>& segments = all[member];
      for (size_t i = 0; i < segments.size(); ++i) {
        const double begin = x_of(static_cast<double>(segments[i].step), population.steps());
        const int64_t until =
            i + 1 < segments.size() ? segments[i + 1].step : population.members()[member].step;
        const double end = x_of(static_cast<double>(until), population.steps());
        const double y = y_of(segments[i].point[d]);
        picture.line(begin, y, end, y, color, width);
        if (i > 0) picture.line(begin, y_of(segments[i - 1].point[d]), begin, y, color, width);
      }
    };
    for (size_t member = 0; member < all.size(); ++member) draw(member, "#b8c4d6", 1);
    if (best) draw(static_cast<size_t>(*best), "#1e6ebe", 3);
    step_axis(picture, top + height + 16, population.steps());
  }
  return picture.finish();
}

}  // namespace hecate::launcher
