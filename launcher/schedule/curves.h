#pragma once
#include <string>
#include <utility>
#include <vector>

namespace hecate::launcher {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  ///< (x, y), x rising
  int colour = -1;                                ///< in pictures; -1: another for each curve
  bool dashed = false;
};

/// Curves over one pair of axes; y may be drawn on a logarithmic scale.
struct Chart {
  std::string title, x_label, y_label;
  std::vector<Curve> curves;
  bool log_y = false;  ///< points of y <= 0 are left out
};

/// An SVG picture. @throws InvalidArgument without any point.
std::string to_svg(const Chart& chart);

/// For a terminal: `columns` x `rows` characters and the axes' ends; each curve has its own mark.
/// @throws InvalidArgument without any point.
std::string to_ascii(const Chart& chart, int columns = 72, int rows = 16);

/// A number for an axis: 4 digits, and k, M, B, T for thousands.
std::string short_number(double value);

struct ChartRange {
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
};
/// Of all points; y from 0 unless it is logarithmic (then in decades' logarithms).
/// @throws InvalidArgument without any point.
ChartRange range_of(const Chart& chart);

/// A point's y as the range counts it.
double scaled(double y, const Chart& chart);

}  // namespace hecate::launcher
