#include "launcher/suite/page.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iomanip>
#include <sstream>

namespace hecate::launcher::suite {
namespace {

constexpr std::array<const char*, 12> kColours = {"#1f6fb4", "#d9822b", "#3a9a4a", "#b5403a",
                                                  "#7d5ba6", "#777777", "#c2b037", "#2ba3a3",
                                                  "#a0522d", "#d16ba5", "#4d4d99", "#88b04b"};
constexpr double kLeft = 70, kTop = 40, kHeight = 240, kBottom = 70, kLegend = 190;

const char* colour(size_t index) {
  return kColours[index % kColours.size()];
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text)
    out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : std::string(1, c);
  return out;
}

// Frame, scale and legend of a chart whose values go from 0 to `top`.
class Frame {
 public:
  Frame(const std::string& title, const std::string& unit, double width, double top)
      : width_(width), top_(top > 0 ? top : 1) {
    out_ << std::setprecision(4) << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\""
         << kLeft + width + kLegend << "\" height=\"" << kTop + kHeight + kBottom
         << "\" font-family=\"sans-serif\" font-size=\"11\">\n";
    text(kLeft, kTop - 20, title, "font-weight=\"bold\" font-size=\"13\"");
    for (int tick = 0; tick <= 4; ++tick) {
      const double value = top_ * tick / 4;
      line(kLeft, y(value), kLeft + width, y(value), "#dddddd");
      std::ostringstream label;
      label << std::setprecision(3) << value;
      text(kLeft - 6, y(value) + 4, label.str(), "text-anchor=\"end\"");
    }
    text(kLeft - 6, kTop - 6, unit, "text-anchor=\"end\"");
  }
  double y(double value) const { return kTop + kHeight * (1 - std::min(value / top_, 1.0)); }
  void text(double x, double at, const std::string& words, const std::string& more = "") {
    out_ << "<text x=\"" << x << "\" y=\"" << at << "\" " << more << '>' << escaped(words)
         << "</text>\n";
  }
  void line(double x1, double y1, double x2, double y2, const std::string& stroke,
            const std::string& more = "") {
    out_ << "<line x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2 << "\" y2=\"" << y2
         << "\" stroke=\"" << stroke << "\" " << more << "/>\n";
  }
  void box(double x, double from, double to, double width, const char* fill) {
    out_ << "<rect x=\"" << x << "\" y=\"" << y(to) << "\" width=\"" << width << "\" height=\""
         << std::max(0.0, y(from) - y(to)) << "\" fill=\"" << fill << "\"/>\n";
  }
  void legend(const std::vector<std::string>& names) {
    for (size_t i = 0; i < names.size(); ++i) {
      const double at = kTop + 15 * static_cast<double>(i);
      out_ << "<rect x=\"" << kLeft + width_ + 14 << "\" y=\"" << at
           << "\" width=\"10\" height=\"10\" fill=\"" << colour(i) << "\"/>\n";
      text(kLeft + width_ + 30, at + 9, names[i]);
    }
  }
  void reference(double value) {
    if (value > 0 && value <= top_)
      line(kLeft, y(value), kLeft + width_, y(value), "#000000", "stroke-dasharray=\"4 3\"");
  }
  std::ostringstream& out() { return out_; }
  std::string done() { return out_.str() + "</svg>\n"; }

 private:
  double width_, top_;
  std::ostringstream out_;
};

std::vector<std::string> labels_of(const std::vector<BarGroup>& groups) {
  std::vector<std::string> labels;
  for (const BarGroup& group : groups)
    for (const Bar& bar : group.bars)
      if (std::ranges::find(labels, bar.label) == labels.end()) labels.push_back(bar.label);
  return labels;
}

double height_of(const Bar& bar) {
  double sum = 0;
  for (const double part : bar.parts) sum += part;
  return sum;
}

}  // namespace

std::string fixed(double value, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

std::string marked(bool bad, const std::string& text) {
  std::string cell;
  if (bad) cell.push_back('!');
  return cell.append(text);
}

std::string bar_chart(const std::string& title, const std::string& unit,
                      const std::vector<BarGroup>& groups, const std::vector<std::string>& parts,
                      double reference) {
  const bool stacked = parts.size() > 1;
  const std::vector<std::string> labels = labels_of(groups);
  double top = reference;
  size_t bars = 0;
  for (const BarGroup& group : groups)
    for (const Bar& bar : group.bars) {
      top = std::max(top, height_of(bar));
      ++bars;
    }
  const double bar_width = stacked ? 34 : 14, gap = 22;
  const double width =
      static_cast<double>(bars) * bar_width + static_cast<double>(groups.size() + 1) * gap;
  Frame frame(title, unit, width, 1.08 * top);
  double x = kLeft + gap;
  for (const BarGroup& group : groups) {
    frame.text(x, kTop + kHeight + 34, group.title);
    for (const Bar& bar : group.bars) {
      const auto place = static_cast<size_t>(std::ranges::find(labels, bar.label) - labels.begin());
      double base = 0;
      for (size_t i = 0; i < bar.parts.size(); ++i) {
        frame.box(x, base, base + bar.parts[i], bar_width - 2, colour(stacked ? i : place));
        base += bar.parts[i];
      }
      if (bar.missing) frame.text(x, kTop + kHeight - 4, "x", "fill=\"#b5403a\"");
      if (stacked) frame.text(x, kTop + kHeight + 16, bar.label.substr(0, 9), "font-size=\"8\"");
      x += bar_width;
    }
    x += gap;
  }
  frame.reference(reference);
  frame.legend(stacked ? parts : labels);
  return frame.done();
}

std::string line_chart(const std::string& title, const std::string& x_title,
                       const std::string& unit, const std::vector<Curve>& curves,
                       double reference) {
  constexpr double kWidth = 420;
  double top = reference, least = 1e300, most = 0;
  for (const Curve& curve : curves)
    for (size_t i = 0; i < curve.x.size(); ++i) {
      top = std::max(top, curve.y[i]);
      least = std::min(least, curve.x[i]);
      most = std::max(most, curve.x[i]);
    }
  Frame frame(title, unit, kWidth, 1.08 * top);
  const auto x_of = [&](double x) {
    return most > least ? kLeft + 10 + (kWidth - 20) * std::log(x / least) / std::log(most / least)
                        : kLeft + kWidth / 2;
  };
  std::vector<std::string> names;
  for (size_t c = 0; c < curves.size(); ++c) {
    names.push_back(curves[c].label);
    std::ostringstream points;
    for (size_t i = 0; i < curves[c].x.size(); ++i) {
      points << x_of(curves[c].x[i]) << ',' << frame.y(curves[c].y[i]) << ' ';
      if (c == 0)
        frame.text(x_of(curves[c].x[i]), kTop + kHeight + 16, fixed(curves[c].x[i], 0),
                   "text-anchor=\"middle\"");
    }
    frame.out() << "<polyline points=\"" << points.str() << "\" fill=\"none\" stroke=\""
                << colour(c) << "\" stroke-width=\"2\"/>\n";
  }
  frame.text(kLeft + kWidth / 2, kTop + kHeight + 34, x_title, "text-anchor=\"middle\"");
  frame.reference(reference);
  frame.legend(names);
  return frame.done();
}

Page::Page(const std::string& title) {
  html_ = "<!doctype html><html><head><meta charset=\"utf-8\"><title>" + escaped(title) +
          "</title><style>body{font-family:sans-serif;max-width:1200px;margin:2em}"
          "table{border-collapse:collapse;font-size:12px}td,th{border:1px solid #ccc;padding:2px "
          "6px;text-align:right}th,td:first-child{text-align:left}.m{background:#f6d5d2}"
          "</style></head><body><h1>" +
          escaped(title) + "</h1>\n";
}

void Page::heading(const std::string& text) {
  html_ += "<h2>" + escaped(text) + "</h2>\n";
}

void Page::paragraph(const std::string& text) {
  html_ += "<p>" + escaped(text) + "</p>\n";
}

void Page::table(const std::vector<std::vector<std::string>>& rows) {
  html_ += "<table>\n";
  for (size_t r = 0; r < rows.size(); ++r) {
    html_ += "<tr>";
    for (const std::string& cell : rows[r]) {
      const bool bad = cell.starts_with("!");
      const std::string tag = r == 0 ? "th" : "td";
      html_ += "<" + tag + (bad ? " class=\"m\">" : ">") + escaped(bad ? cell.substr(1) : cell) +
               "</" + tag + ">";
    }
    html_ += "</tr>\n";
  }
  html_ += "</table>\n";
}

}  // namespace hecate::launcher::suite
