#include "launcher/bench/coordinate_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

constexpr double kWidth = 200, kHeight = 150, kLeft = 56, kTop = 40, kGapX = 52, kGapY = 46;

struct Axes {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();  // log10 of values

  void take(const std::vector<std::vector<double>>& by_width) {
    for (const auto& values : by_width)
      for (const double value : values)
        if (value > 0 && std::isfinite(value)) {
          low = std::min(low, std::log10(value));
          high = std::max(high, std::log10(value));
        }
  }
  // Whole decades, at least one.
  void round() {
    low = std::floor(low);
    high = std::max(low + 1, std::ceil(high));
  }
  double y(double value) const { return kHeight * (1 - (std::log10(value) - low) / (high - low)); }
};

std::string fixed(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

std::string text_at(double x, double y, const char* anchor, const std::string& text) {
  return concat("<text x=\"", fixed(x), "\" y=\"", fixed(y), "\" text-anchor=\"", anchor, "\">",
                text, "</text>\n");
}

std::string colour(size_t step, size_t last) {
  const double t = static_cast<double>(step) / static_cast<double>(std::max<size_t>(1, last));
  char text[32];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", static_cast<unsigned>(190 - 170 * t),
                static_cast<unsigned>(205 - 150 * t), static_cast<unsigned>(235 - 95 * t));
  return text;
}

std::string frame(const Axes& axes, const std::vector<int64_t>& widths) {
  std::string out = concat("<rect width=\"", fixed(kWidth), "\" height=\"", fixed(kHeight),
                           "\" fill=\"none\" stroke=\"#888\"/>\n");
  for (double decade = axes.low; decade <= axes.high; ++decade) {
    const double y = axes.y(std::pow(10, decade));
    out += concat("<path d=\"M0 ", fixed(y), "H", fixed(kWidth), "\" stroke=\"#ddd\"/>\n");
    out += text_at(-5, y + 4, "end", concat("1e", static_cast<int>(decade)));
  }
  for (size_t w = 0; w < widths.size(); ++w)
    out += text_at(kWidth * static_cast<double>(w) / static_cast<double>(widths.size() - 1),
                   kHeight + 14, "middle", concat("x", widths[w]));
  return out;
}

std::string lines(const CoordinateCheck& check, Coordinate coordinate, const Axes& axes) {
  const auto& by_width = check.values[static_cast<size_t>(coordinate)];
  const size_t steps = by_width.front().size();
  std::string out;
  for (size_t step = 0; step < steps; ++step) {
    std::string points;
    for (size_t w = 0; w < by_width.size(); ++w) {
      const double value = by_width[w][step];
      if (value <= 0 || !std::isfinite(value)) continue;
      const double x = kWidth * static_cast<double>(w) / static_cast<double>(by_width.size() - 1);
      points += concat(fixed(x), ",", fixed(axes.y(value)), " ");
    }
    if (!points.empty())
      out +=
          concat("<polyline points=\"", points, "\" fill=\"none\" stroke-width=\"1.5\" stroke=\"",
                 colour(step, steps - 1), "\"/>\n");
  }
  return out;
}

}  // namespace

std::string coordinate_plot(const CoordinateCheck& with, const CoordinateCheck& without) {
  const double width = kLeft + kCoordinates * (kWidth + kGapX),
               height = kTop + 2 * (kHeight + kGapY);
  std::string out = concat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", fixed(width),
                           " ", fixed(height), "\" font-family=\"sans-serif\" font-size=\"11\">\n",
                           "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n");
  for (size_t c = 0; c < kCoordinates; ++c) {
    const auto coordinate = static_cast<Coordinate>(c);
    Axes axes;
    axes.take(with.values[c]);
    axes.take(without.values[c]);
    axes.round();
    const std::string what =
        coordinate == Coordinate::logits ? "change of logits" : std::string(name_of(coordinate));
    for (int row = 0; row < 2; ++row) {
      const CoordinateCheck& check = row == 0 ? with : without;
      out += concat("<g transform=\"translate(",
                    fixed(kLeft + static_cast<double>(c) * (kWidth + kGapX)), ",",
                    fixed(kTop + row * (kHeight + kGapY)), ")\">\n",
                    text_at(kWidth / 2, -8, "middle",
                            concat("mean |", what, "|, ", row == 0 ? "muP" : "without muP")),
                    frame(axes, check.widths), lines(check, coordinate, axes), "</g>\n");
    }
  }
  return out + "</svg>\n";
}

std::string coordinate_text(const CoordinateCheck& with, const CoordinateCheck& without) {
  std::string out = "growth with the width, as a power, at the worst step\n";
  for (size_t c = 0; c < kCoordinates; ++c) {
    const auto coordinate = static_cast<Coordinate>(c);
    char line[128];
    std::snprintf(line, sizeof line, "%-10s muP %6.2f   without %6.2f\n",
                  std::string(name_of(coordinate)).c_str(), with.worst_growth(coordinate),
                  without.worst_growth(coordinate));
    out += line;
  }
  return out;
}

}  // namespace hecate::launcher
