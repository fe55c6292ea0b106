#include "monitoring/top/exposition.h"

#include <charconv>
#include <limits>
#include <optional>

namespace hecate::monitoring {
namespace {

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == ':';
}

// A line that is read from its front.
class Line {
 public:
  explicit Line(std::string_view text) : text_(text) {}

  std::string name() {
    size_t end = 0;
    while (end < text_.size() && is_name(text_[end])) ++end;
    std::string name(text_.substr(0, end));
    text_.remove_prefix(end);
    return name;
  }
  bool take(char c) {
    blanks();
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  void blanks() {
    while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\t'))
      text_.remove_prefix(1);
  }
  // With \\, \" and \n resolved.
  std::optional<std::string> quoted() {
    if (!take('"')) return std::nullopt;
    std::string value;
    while (!text_.empty()) {
      char c = text_.front();
      text_.remove_prefix(1);
      if (c == '"') return value;
      if (c == '\\' && !text_.empty()) {
        c = text_.front() == 'n' ? '\n' : text_.front();
        text_.remove_prefix(1);
      }
      value += c;
    }
    return std::nullopt;
  }
  std::optional<double> number() {
    blanks();
    const std::string_view word = text_.substr(0, text_.find_first_of(" \t\r"));
    if (word == "NaN") return std::numeric_limits<double>::quiet_NaN();
    if (word == "+Inf" || word == "-Inf")
      return word.front() == '-' ? -std::numeric_limits<double>::infinity()
                                 : std::numeric_limits<double>::infinity();
    double value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
    return value;
  }

 private:
  std::string_view text_;
};

std::optional<Sample> sample_of(std::string_view text) {
  Line line(text);
  line.blanks();
  Sample sample;
  sample.name = line.name();
  if (sample.name.empty()) return std::nullopt;
  if (line.take('{')) {
    while (!line.take('}')) {
      line.blanks();
      const std::string key = line.name();
      if (key.empty() || !line.take('=')) return std::nullopt;
      const std::optional<std::string> value = line.quoted();
      if (!value) return std::nullopt;
      sample.labels[key] = *value;
      line.take(',');
    }
  }
  const std::optional<double> value = line.number();
  if (!value) return std::nullopt;
  sample.value = *value;
  return sample;
}

}  // namespace

std::string Sample::label(const std::string& key) const {
  const auto found = labels.find(key);
  return found == labels.end() ? std::string() : found->second;
}

std::vector<Sample> parse_exposition(std::string_view text) {
  std::vector<Sample> samples;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (std::optional<Sample> sample = sample_of(text.substr(begin, end - begin)))
      samples.push_back(std::move(*sample));
    begin = end + 1;
  }
  return samples;
}

}  // namespace hecate::monitoring
