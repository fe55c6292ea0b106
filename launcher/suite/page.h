#pragma once
#include <string>
#include <vector>

namespace hecate::launcher::suite {

/// One bar, or a stack of parts.
struct Bar {
  std::string label;
  std::vector<double> parts;
  bool missing = false;  ///< drawn as a mark: does not fit, or did not run
};

struct BarGroup {
  std::string title;
  std::vector<Bar> bars;
};

/// Grouped bars as SVG. @param parts names of a stack's parts; one name or none for plain bars,
/// which get a colour per label. @param reference a line across at this value; 0: none.
std::string bar_chart(const std::string& title, const std::string& unit,
                      const std::vector<BarGroup>& groups, const std::vector<std::string>& parts,
                      double reference = 0);

struct Curve {
  std::string label;
  std::vector<double> x, y;
};
/// Curves over a logarithmic x axis as SVG.
std::string line_chart(const std::string& title, const std::string& x_title,
                       const std::string& unit, const std::vector<Curve>& curves,
                       double reference = 0);

/// An HTML page put together piece by piece; figures are inline.
class Page {
 public:
  explicit Page(const std::string& title);
  void heading(const std::string& text);
  void paragraph(const std::string& text);
  void figure(const std::string& svg) { html_ += svg; }
  /// First row: the columns. Cells that begin with '!' are marked.
  void table(const std::vector<std::vector<std::string>>& rows);
  std::string text() const { return html_ + "</body></html>\n"; }

 private:
  std::string html_;
};

/// A number with `digits` decimals.
std::string fixed(double value, int digits);
/// The text of a table's cell, marked where it is `bad`.
std::string marked(bool bad, const std::string& text);

}  // namespace hecate::launcher::suite
