#include <algorithm>
#include <cmath>
#include <sstream>

#include "launcher/schedule/curves.h"

namespace hecate::launcher {
namespace {

constexpr std::string_view kMarks = "*o+x#@%&";

size_t cell(double value, double low, double high, size_t cells) {
  if (high <= low) return 0;
  const double place = (value - low) / (high - low) * static_cast<double>(cells - 1);
  return static_cast<size_t>(std::clamp(std::lround(place), 0l, static_cast<long>(cells) - 1));
}

std::string padded(const std::string& text, size_t width) {
  return text.size() >= width ? text : std::string(width - text.size(), ' ') + text;
}

}  // namespace

std::string to_ascii(const Chart& chart, int columns, int rows) {
  const ChartRange range = range_of(chart);
  const auto width = static_cast<size_t>(columns), height = static_cast<size_t>(rows);
  std::vector<std::string> canvas(height, std::string(width, ' '));
  for (size_t i = 0; i < chart.curves.size(); ++i)
    for (const auto& [x, y] : chart.curves[i].points) {
      if (chart.log_y && y <= 0) continue;
      const size_t row = cell(scaled(y, chart), range.y_low, range.y_high, height);
      canvas[height - 1 - row][cell(x, range.x_low, range.x_high, width)] =
          kMarks[i % kMarks.size()];
    }
  const auto named = [&](double y) { return short_number(chart.log_y ? std::pow(10, y) : y); };
  const std::string top = named(range.y_high), bottom = named(range.y_low);
  const size_t margin = std::max(top.size(), bottom.size());
  std::ostringstream out;
  out << chart.title << "\n";
  for (size_t row = 0; row < height; ++row)
    out << padded(row == 0            ? top
                  : row + 1 == height ? bottom
                                      : "",
                  margin)
        << " |" << canvas[row] << "\n";
  const std::string left = short_number(range.x_low), right = short_number(range.x_high);
  out << std::string(margin + 1, ' ') << '+' << std::string(width, '-') << "\n"
      << std::string(margin + 2, ' ') << left
      << padded(right + ' ' + chart.x_label, std::max(width, left.size()) - left.size()) << "\n";
  for (size_t i = 0; i < chart.curves.size(); ++i)
    out << "  " << kMarks[i % kMarks.size()] << ' ' << chart.curves[i].name << "\n";
  return out.str();
}

}  // namespace hecate::launcher
