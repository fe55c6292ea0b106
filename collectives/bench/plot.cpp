#include "collectives/bench/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <sstream>
#include <vector>

namespace hecate::collectives::bench {
namespace {

constexpr std::array<const char*, 6> kColours = {"#1f6fb4", "#d9822b", "#3a9a4a",
                                                 "#b5403a", "#7d5ba6", "#777777"};
constexpr double kLeft = 70, kHeight = 260, kTop = 40, kBottom = 120;

std::string text(double x, double y, const std::string& words, const char* more = "") {
  std::ostringstream out;
  out << "<text x=\"" << x << "\" y=\"" << y << "\" " << more << '>' << words << "</text>\n";
  return out.str();
}

std::string line(double x1, double y1, double x2, double y2, const char* style) {
  std::ostringstream out;
  out << "<line x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2 << "\" y2=\"" << y2 << "\" "
      << style << "/>\n";
  return out.str();
}

std::string short_bytes(double bytes) {
  std::ostringstream out;
  if (bytes >= 1 << 20)
    out << bytes / (1 << 20) << "M";
  else
    out << bytes / (1 << 10) << "K";
  return out.str();
}

// A frame with a scale from 0 to `top`; y grows downwards in SVG.
class Panel {
 public:
  Panel(double y, double width, double top, const std::string& title)
      : y_(y + kTop), width_(width), top_(top) {
    out_ << text(kLeft, y_ - 14, title, "font-weight=\"bold\"");
    for (int tick = 0; tick <= 4; ++tick) {
      const double value = top * tick / 4;
      std::ostringstream label;
      label.precision(3);
      label << value;
      out_ << line(kLeft, height_of(value), kLeft + width, height_of(value), "stroke=\"#dddddd\"")
           << text(kLeft - 8, height_of(value) + 4, label.str(), "text-anchor=\"end\"");
    }
  }

  double height_of(double value) const { return y_ + kHeight * (1 - value / top_); }
  void legend(size_t index, const std::string& name) {
    const double y = y_ + 16 * static_cast<double>(index);
    out_ << "<rect x=\"" << kLeft + width_ + 16 << "\" y=\"" << y
         << "\" width=\"10\" height=\"10\" fill=\"" << kColours[index % kColours.size()] << "\"/>\n"
         << text(kLeft + width_ + 32, y + 9, name);
  }
  std::ostringstream& out() { return out_; }
  double bottom() const { return y_ + kHeight; }

 private:
  double y_, width_, top_;
  std::ostringstream out_;
};

std::string dense_panel(const std::vector<const Record*>& records, double y) {
  constexpr double kWidth = 560;
  double top = 0, least = 1e18, most = 1;
  std::map<std::string, std::vector<const Record*>> curves;
  for (const Record* record : records) {
    curves[record->name()].push_back(record);
    top = std::max({top, record->number("bus_gb_per_s"), record->number("library_bus_gb_per_s")});
    least = std::min(least, record->number("bytes"));
    most = std::max(most, record->number("bytes"));
  }
  Panel panel(y, kWidth, top, "Dense: bus bandwidth, GB/s (dashed: the MPI library's own call)");
  const double octaves = std::max(1.0, std::log2(most / least));
  const auto x_of = [&](double bytes) {
    return kLeft + kWidth * std::log2(bytes / least) / octaves;
  };
  size_t index = 0;
  for (const auto& [name, points] : curves) {
    for (const char* key : {"bus_gb_per_s", "library_bus_gb_per_s"}) {
      if (points.front()->number(key) == 0) continue;
      panel.out() << "<polyline fill=\"none\" stroke-width=\"2\" stroke=\""
                  << kColours[index % kColours.size()] << '"'
                  << (key[0] == 'l' ? " stroke-dasharray=\"5 4\"" : "") << " points=\"";
      for (const Record* point : points)
        panel.out() << x_of(point->number("bytes")) << ',' << panel.height_of(point->number(key))
                    << ' ';
      panel.out() << "\"/>\n";
    }
    for (const Record* point : points)
      panel.out() << text(x_of(point->number("bytes")), panel.bottom() + 18,
                          short_bytes(point->number("bytes")), "text-anchor=\"middle\"");
    panel.legend(index++, name);
  }
  return panel.out().str();
}

std::string sparse_panel(const std::vector<const Record*>& records, double y) {
  constexpr double kBar = 7, kGap = 8;
  std::vector<std::string> algorithms, cases;
  const auto place = [](std::vector<std::string>& names, const std::string& name) {
    const auto at = std::find(names.begin(), names.end(), name) - names.begin();
    if (at == std::ssize(names)) names.push_back(name);
    return static_cast<size_t>(at);
  };
  const auto case_of = [](const Record& record) {
    return record.name() + ' ' + record.word("placement") + ' ' +
           short_bytes(record.number("expert_bytes"));
  };
  for (const Record* record : records) {
    place(algorithms, record->word("algorithm"));
    place(cases, case_of(*record));
  }
  const double step = kBar * static_cast<double>(algorithms.size()) + kGap;
  const double width = step * static_cast<double>(cases.size());
  Panel panel(y, width, 1, "Sparse: lower bound / measured (line at 0.9)");
  for (const Record* record : records) {
    const size_t a = place(algorithms, record->word("algorithm"));
    const double x = kLeft + step * static_cast<double>(place(cases, case_of(*record)));
    const double height = panel.height_of(std::min(1.0, record->number("bound_over_measured")));
    panel.out() << "<rect x=\"" << x + kBar * static_cast<double>(a) << "\" y=\"" << height
                << "\" width=\"" << kBar - 1 << "\" height=\"" << panel.bottom() - height
                << "\" fill=\"" << kColours[a % kColours.size()] << "\"/>\n";
  }
  panel.out() << line(kLeft, panel.height_of(0.9), kLeft + width, panel.height_of(0.9),
                      "stroke=\"#333333\" stroke-dasharray=\"3 3\"");
  for (size_t i = 0; i < cases.size(); ++i) {
    const double x = kLeft + step * static_cast<double>(i) + step / 2;
    std::ostringstream turn;
    turn << "transform=\"rotate(60 " << x << ' ' << panel.bottom() + 10 << ")\"";
    panel.out() << text(x, panel.bottom() + 10, cases[i], turn.str().c_str());
  }
  for (size_t a = 0; a < algorithms.size(); ++a) panel.legend(a, algorithms[a]);
  return panel.out().str();
}

}  // namespace

std::string plot_svg(std::span<const Record> records) {
  std::map<std::string, std::vector<const Record*>> suites;
  for (const Record& record : records) suites[record.suite()].push_back(&record);
  std::ostringstream body;
  double y = 0;
  const auto draw = [&](const char* suite, const auto& panel) {
    if (!suites.contains(suite)) return;
    body << panel(suites[suite], y);
    y += kTop + kHeight + kBottom;
  };
  draw("dense", dense_panel);
  draw("sparse", sparse_panel);
  std::ostringstream out;
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1200\" height=\"" << y + kTop
      << "\" font-family=\"sans-serif\" font-size=\"12\">\n"
      << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      << body.str() << "</svg>\n";
  return out.str();
}

}  // namespace hecate::collectives::bench
