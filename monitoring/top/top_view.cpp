#include "monitoring/top/top_view.h"

#include <algorithm>
#include <array>
#include <iomanip>
#include <sstream>

#include "runtime/base/error.h"

namespace hecate::monitoring {
namespace {

constexpr std::array<const char*, 8> kBars = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
enum class Ink : uint8_t { plain, dim, bold, good, warn, bad };
// A load or an imbalance from which it is shown as a warning, and as bad.
constexpr double kWarn = 1.5, kBad = 3;
constexpr int kLeastWidth = 20;

// A line that knows how wide it is: characters that are not ASCII count as one.
class Line {
 public:
  Line(int width, bool colour) : left_(width), colour_(colour) {}

  Line& put(std::string_view text, Ink ink = Ink::plain) {
    std::string part;
    for (size_t i = 0; i < text.size() && left_ > 0; --left_) {
      const size_t begin = i++;
      while (i < text.size() && (static_cast<unsigned char>(text[i]) & 0xc0) == 0x80) ++i;
      // What comes from file names must not steer the terminal.
      const auto code = static_cast<unsigned char>(text[begin]);
      part += code < 0x20 || code == 0x7f ? "?" : std::string(text.substr(begin, i - begin));
    }
    if (part.empty()) return *this;
    static constexpr std::array<const char*, 6> kCodes = {"",         "\x1b[2m",  "\x1b[1m",
                                                          "\x1b[32m", "\x1b[33m", "\x1b[31m"};
    const bool painted = colour_ && ink != Ink::plain;
    text_ += painted ? kCodes[static_cast<size_t>(ink)] + part + "\x1b[0m" : part;
    return *this;
  }
  int left() const { return left_; }
  std::string take() { return std::move(text_); }

 private:
  int left_;
  bool colour_;
  std::string text_;
};

std::string fixed(double value, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

// Four digits, thousands as k, M, G, T.
std::string short_number(double value) {
  if (!std::isfinite(value)) return "-";
  const double size = std::abs(value);
  if (size != 0 && size < 1e-3) {
    std::ostringstream out;
    out << std::scientific << std::setprecision(2) << value;
    return out.str();
  }
  constexpr std::array<std::pair<double, const char*>, 4> kUnits = {
      {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}}};
  for (const auto& [from, unit] : kUnits)
    if (size >= from) return fixed(value / (from == 1e4 ? 1e3 : from), 2) + unit;
  return value == std::rint(value) ? fixed(value, 0) : fixed(value, size < 10 ? 4 : 1);
}

std::string bytes(double value) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  size_t unit = 0;
  for (; std::abs(value) >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return fixed(value, unit == 0 ? 0 : 1) + " " + kUnits[unit];
}

std::string seconds(double value) {
  if (!std::isfinite(value)) return "-";
  if (value < 1) return fixed(value * 1e3, value < 0.01 ? 2 : 0) + " ms";
  if (value < 120) return fixed(value, value < 10 ? 2 : 0) + " s";
  return value < 7200 ? fixed(value / 60, 0) + " min" : fixed(value / 3600, 1) + " h";
}

Ink ink_of(double ratio) {
  return ratio >= kBad ? Ink::bad : ratio >= kWarn ? Ink::warn : Ink::good;
}

std::string right(const std::string& text, size_t width) {
  return text.size() >= width ? text : std::string(width - text.size(), ' ') + text;
}

// `share` of `width` characters, in eighths.
std::string bar(double share, int width) {
  constexpr std::array<const char*, 8> kParts = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const double known = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0;
  const auto eighths = static_cast<int>(std::lround(known * 8 * width));
  std::string text;
  for (int i = 0; i < eighths / 8; ++i) text += "█";
  text += kParts[static_cast<size_t>(eighths % 8)];
  for (int i = eighths / 8 + (eighths % 8 > 0 ? 1 : 0); i < width; ++i) text += ' ';
  return text;
}

class Frame {
 public:
  Frame(const TopState& state, const TopLayout& layout) : state_(state), layout_(layout) {}

  std::vector<std::string> make(const std::string& source, const std::string& note) {
    head(source, note);
    curve("loss", state_.losses, short_number(state_.loss));
    curve("tok/s", state_.speeds, short_number(state_.tokens_per_s));
    numbers();
    ranks();
    layers();
    if (static_cast<int>(lines_.size()) > layout_.height)
      lines_.resize(static_cast<size_t>(std::max(1, layout_.height)));
    return std::move(lines_);
  }

 private:
  Line line() const { return {layout_.width, layout_.colour}; }
  void add(Line& line) { lines_.push_back(line.take()); }
  int room() const { return layout_.height - static_cast<int>(lines_.size()); }

  void head(const std::string& source, const std::string& note) {
    Line first = line();
    first.put("hecate top  ", Ink::bold).put(source, Ink::dim);
    add(first);
    if (!note.empty()) {
      Line second = line();
      second.put(note, Ink::warn);
      add(second);
    }
    Line third = line();
    third.put("step ").put(short_number(state_.step), Ink::bold);
    if (state_.total_steps > 0) {
      const double share = state_.step / state_.total_steps;
      third.put(" of ").put(short_number(state_.total_steps)).put("  ");
      third.put(bar(share, std::clamp(layout_.width / 4, 5, 30)), Ink::good);
      third.put("  ").put(std::isfinite(share) ? fixed(100 * share, 0) + " %" : "-");
      const double remaining = (state_.total_steps - state_.step) * state_.step_seconds;
      if (std::isfinite(remaining) && remaining > 0) third.put("  ETA ").put(seconds(remaining));
    }
    if (std::isfinite(state_.age_seconds)) {
      const bool late = state_.age_seconds > std::fmax(60, 10 * state_.step_seconds) &&
                        !(state_.step >= state_.total_steps);
      third.put("  last step ")
          .put(seconds(state_.age_seconds) + " ago", late ? Ink::bad : Ink::plain);
    }
    add(third);
  }

  void curve(const char* name, const std::vector<double>& values, const std::string& now) {
    if (room() < 2) return;
    Line text = line();
    text.put(std::string(name) + std::string(6 - std::string_view(name).size(), ' '), Ink::dim);
    text.put(right(now, 9), Ink::bold).put("  ");
    text.put(sparkline(values, text.left()));
    add(text);
  }

  void numbers() {
    std::vector<std::pair<std::string, std::string>> pairs = {
        {"held out", short_number(state_.eval_loss)},
        {"rate", short_number(state_.rate)},
        {"grad", short_number(state_.gradient_norm)},
        {"step", seconds(state_.step_seconds)},
        {"tokens", short_number(state_.tokens)}};
    if (std::isfinite(state_.flops_utilization))
      pairs.emplace_back("FLOPs", fixed(100 * state_.flops_utilization, 1) + " %");
    if (std::isfinite(state_.exposed_share))
      pairs.emplace_back("exposed", fixed(100 * state_.exposed_share, 0) + " %");
    if (state_.peak_bytes > 0)
      pairs.emplace_back("memory",
                         bytes(state_.peak_bytes) +
                             (state_.budget_bytes > 0 ? " of " + bytes(state_.budget_bytes) : ""));
    Line text = line();
    for (const auto& [name, value] : pairs) {
      const int needed = static_cast<int>(name.size() + value.size()) + 3;
      if (text.left() < needed && text.left() < layout_.width) {
        add(text);
        text = line();
      }
      text.put(name + " ", Ink::dim).put(value + "  ");
    }
    add(text);
  }

  void ranks() {
    if (state_.ranks.size() < 2 || room() < 3) return;
    double most = 0;
    for (const auto& [rank, vitals] : state_.ranks) most = std::fmax(most, vitals.compute_seconds);
    Line title = line();
    title.put("ranks, compute seconds").put("  slowest: rank ", Ink::dim);
    title.put(short_number(state_.slowest_rank), Ink::bold);
    add(title);
    std::vector<std::pair<int64_t, TopState::Rank>> order(state_.ranks.begin(), state_.ranks.end());
    // Where not all fit, the slowest are shown.
    const auto fit = static_cast<size_t>(std::max(1, (room() - 1) / 2));
    if (order.size() > fit)
      std::ranges::stable_sort(order, std::ranges::greater{},
                               [](const auto& each) { return each.second.compute_seconds; });
    for (size_t i = 0; i < std::min(fit, order.size()); ++i) {
      const auto& [rank, vitals] = order[i];
      const bool slowest = static_cast<double>(rank) == state_.slowest_rank;
      Line text = line();
      text.put(right(concat(rank), 5) + " ").put(right(seconds(vitals.compute_seconds), 8) + " ");
      text.put(bar(vitals.compute_seconds / most, std::max(1, text.left() - 16)),
               slowest ? Ink::warn : Ink::good);
      if (std::isfinite(vitals.waited_seconds))
        text.put(" waits " + seconds(vitals.waited_seconds), Ink::dim);
      add(text);
    }
    more(order.size(), fit, "ranks");
  }

  void layers() {
    if (state_.layers.empty() || room() < 2) return;
    double most = 2;
    bool placed = false;
    for (const auto& [number, layer] : state_.layers) {
      most = std::fmax(most, layer.max_over_mean);
      placed = placed || std::isfinite(layer.imbalance);
    }
    Line title = line();
    title.put("layers, busiest expert over the mean");
    if (placed) title.put("  busiest rank at owners > placed", Ink::dim);
    add(title);
    const auto fit = static_cast<size_t>(
        std::max(1, state_.layers.size() > static_cast<size_t>(room()) ? room() - 1 : room()));
    size_t shown = 0;
    for (const auto& [number, layer] : state_.layers) {
      if (shown++ == fit) break;
      Line text = line();
      text.put(right(concat(number), 5) + " ");
      text.put(right(std::isfinite(layer.max_over_mean) ? fixed(layer.max_over_mean, 2) : "-", 8),
               ink_of(layer.max_over_mean));
      text.put(" ").put(
          bar(layer.max_over_mean / most, std::max(1, text.left() - (placed ? 16 : 0))),
          ink_of(layer.max_over_mean));
      if (std::isfinite(layer.imbalance))
        text.put(right(fixed(layer.imbalance_at_owners, 2), 7) + " > ", Ink::dim)
            .put(fixed(layer.imbalance, 2), ink_of(layer.imbalance));
      add(text);
    }
    more(state_.layers.size(), fit, "layers");
  }

  void more(size_t all, size_t shown, const char* what) {
    if (all <= shown) return;
    Line text = line();
    text.put(concat("      and ", all - shown, " more ", what), Ink::dim);
    add(text);
  }

  const TopState& state_;
  TopLayout layout_;
  std::vector<std::string> lines_;
};

}  // namespace

std::string sparkline(const std::vector<double>& values, int width) {
  const auto columns = static_cast<size_t>(std::max(0, width));
  const size_t shown = std::min(columns, values.size());
  std::vector<double> means(shown, TopState::kNone);
  for (size_t i = 0; i < shown; ++i) {
    double sum = 0, count = 0;
    for (size_t v = i * values.size() / shown; v < (i + 1) * values.size() / shown; ++v)
      if (std::isfinite(values[v])) {
        sum += values[v];
        ++count;
      }
    if (count > 0) means[i] = sum / count;
  }
  double low = TopState::kNone, high = TopState::kNone;
  for (const double mean : means) {
    low = std::fmin(low, mean);
    high = std::fmax(high, mean);
  }
  std::string text;
  for (const double mean : means) {
    const double share = high > low ? (mean - low) / (high - low) : 0.5;
    text += std::isfinite(mean) ? kBars[static_cast<size_t>(std::lround(share * 7))] : " ";
  }
  return text;
}

std::vector<std::string> top_frame(const TopState& state, const std::string& source,
                                   const std::string& note, const TopLayout& layout) {
  TopLayout usable = layout;
  usable.width = std::max(kLeastWidth, layout.width);
  usable.height = std::max(1, layout.height);
  return Frame(state, usable).make(source, note);
}

}  // namespace hecate::monitoring
