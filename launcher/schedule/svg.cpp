#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <sstream>

#include "launcher/schedule/curves.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

constexpr std::array<const char*, 8> kColours = {"#1f6fb4", "#d9822b", "#3a9a4a", "#b5403a",
                                                 "#7d5ba6", "#777777", "#17a2b8", "#8c6d31"};
constexpr double kLeft = 80, kTop = 40, kWidth = 640, kHeight = 300, kBottom = 50;
constexpr int kTicks = 4;
constexpr const char* kDashes = " stroke-dasharray=\"5 4\"";

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) safe += c == '&' ? "&amp;" : c == '<' ? "&lt;" : std::string(1, c);
  return safe;
}

std::string label(double x, double y, const std::string& words, const char* style = "") {
  std::ostringstream out;
  out << "<text x=\"" << x << "\" y=\"" << y << "\" " << style << '>' << escaped(words)
      << "</text>\n";
  return out.str();
}

double share(double value, double low, double high) {
  return high > low ? (value - low) / (high - low) : 0;
}

class Picture {
 public:
  explicit Picture(const Chart& chart) : chart_(&chart), range_(range_of(chart)) {}

  std::string text() const {
    std::ostringstream out;
    const double height = std::max(kTop + kHeight + kBottom,
                                   kTop + 20.0 * static_cast<double>(chart_->curves.size()));
    out << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << kLeft + kWidth + 240
        << "\" height=\"" << height << "\" font-family=\"sans-serif\" font-size=\"12\">\n"
        << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        << label(kLeft, kTop - 16, chart_->title, "font-weight=\"bold\"") << axes();
    for (size_t i = 0; i < chart_->curves.size(); ++i) out << curve(i);
    out << "</svg>\n";
    return out.str();
  }

 private:
  double x_of(double x) const { return kLeft + kWidth * share(x, range_.x_low, range_.x_high); }
  double y_of(double scaled_y) const {
    return kTop + kHeight * (1 - share(scaled_y, range_.y_low, range_.y_high));
  }

  std::string axes() const {
    std::ostringstream out;
    for (int tick = 0; tick <= kTicks; ++tick) {
      const double part = static_cast<double>(tick) / kTicks;
      const double y = range_.y_low + part * (range_.y_high - range_.y_low);
      const double x = range_.x_low + part * (range_.x_high - range_.x_low);
      out << "<line x1=\"" << kLeft << "\" x2=\"" << kLeft + kWidth << "\" y1=\"" << y_of(y)
          << "\" y2=\"" << y_of(y) << "\" stroke=\"#dddddd\"/>\n"
          << label(kLeft - 8, y_of(y) + 4, short_number(chart_->log_y ? std::pow(10, y) : y),
                   "text-anchor=\"end\"")
          << label(x_of(x), kTop + kHeight + 18, short_number(x), "text-anchor=\"middle\"");
    }
    out << label(kLeft + kWidth / 2, kTop + kHeight + 38, chart_->x_label, "text-anchor=\"middle\"")
        << label(8, kTop - 16, chart_->y_label);
    return out.str();
  }

  std::string curve(size_t index) const {
    const Curve& drawn = chart_->curves[index];
    const size_t wanted = drawn.colour < 0 ? index : static_cast<size_t>(drawn.colour);
    const char* colour = kColours[wanted % kColours.size()];
    std::ostringstream out;
    out << "<polyline fill=\"none\" stroke-width=\"1.5\" stroke=\"" << colour << "\""
        << (drawn.dashed ? kDashes : "") << " points=\"";
    for (const auto& [x, y] : drawn.points)
      if (!chart_->log_y || y > 0) out << x_of(x) << ',' << y_of(scaled(y, *chart_)) << ' ';
    const double y = kTop + 8 + 18 * static_cast<double>(index);
    out << "\"/>\n<line x1=\"" << kLeft + kWidth + 12 << "\" x2=\"" << kLeft + kWidth + 30
        << "\" y1=\"" << y << "\" y2=\"" << y << "\" stroke-width=\"2\" stroke=\"" << colour << "\""
        << (drawn.dashed ? kDashes : "") << "/>\n"
        << label(kLeft + kWidth + 36, y + 4, drawn.name);
    return out.str();
  }

  const Chart* chart_;
  ChartRange range_;
};

}  // namespace

double scaled(double y, const Chart& chart) {
  return chart.log_y ? std::log10(y) : y;
}

ChartRange range_of(const Chart& chart) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  ChartRange range{.x_low = kInfinity, .x_high = -kInfinity, .y_low = 0, .y_high = -kInfinity};
  if (chart.log_y) range.y_low = kInfinity;
  for (const Curve& curve : chart.curves)
    for (const auto& [x, y] : curve.points) {
      if (chart.log_y && y <= 0) continue;
      range.x_low = std::min(range.x_low, x);
      range.x_high = std::max(range.x_high, x);
      range.y_low = std::min(range.y_low, scaled(y, chart));
      range.y_high = std::max(range.y_high, scaled(y, chart));
    }
  HECATE_CHECK(range.x_low <= range.x_high, "plot '", chart.title, "': no points");
  return range;
}

std::string short_number(double value) {
  static constexpr std::array<std::pair<double, const char*>, 4> kSteps = {
      {{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "k"}}};
  std::ostringstream out;
  out.precision(4);
  for (const auto& [factor, letter] : kSteps)
    if (std::abs(value) >= factor) {
      out << value / factor << letter;
      return out.str();
    }
  out << value;
  return out.str();
}

std::string to_svg(const Chart& chart) {
  return Picture(chart).text();
}

}  // namespace hecate::launcher
