#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace hecate::monitoring {

/// A sample of Prometheus's text format.
struct Sample {
  std::string name;
  std::map<std::string, std::string> labels;
  double value = 0;

  /// Empty: it has no such label.
  std::string label(const std::string& key) const;
};

/// The samples of a scrape, comments and time stamps left out. Lines that are no samples are passed
/// over: what an exporter of a later version says beside is no error.
/// Source: Prometheus's "Exposition formats", text format 0.0.4.
std::vector<Sample> parse_exposition(std::string_view text);

}  // namespace hecate::monitoring
