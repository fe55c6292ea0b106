#include "launcher/preflight/identity.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <vector>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

constexpr const char* kUnset = "(not set)";

// A text as keys with values, in its order.
struct Entries {
  std::vector<std::string> keys;
  std::map<std::string, std::string> values;

  void add(const std::string& key, const std::string& value) {
    if (values.emplace(key, value).second) keys.push_back(key);
  }
  std::string at(const std::string& key) const {
    const auto found = values.find(key);
    return found == values.end() ? kUnset : found->second;
  }
};

Entries parse_config(const std::string& text) {
  Entries entries;
  std::map<std::string, int> elements;  // of arrays of tables
  std::string table;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t equals = line.find(" = ");
    if (line.empty() || line[0] == '#') continue;
    if (line.starts_with("[[")) {
      const std::string name = line.substr(2, line.find("]]") - 2);
      table = concat(name, '[', elements[name]++, "].");
    } else if (line[0] == '[') {
      table = line.substr(1, line.find(']') - 1) + '.';
    } else if (equals == std::string::npos) {
      entries.add(table + line, "");
    } else {
      entries.add(table + line.substr(0, equals), line.substr(equals + 3));
    }
  }
  return entries;
}

Entries parse_build(const std::string& text) {
  Entries entries;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(": ");
    if (line.empty()) continue;
    if (colon == std::string::npos)
      entries.add("version", line);
    else
      entries.add(line.substr(0, colon), line.substr(colon + 2));
  }
  return entries;
}

// "VALUE on ranks ..., VALUE on rank ...", in the order of the values' first ranks; empty if all
// have the same.
std::string spread(const std::vector<Entries>& ranks, const std::string& key) {
  std::vector<std::pair<std::string, std::vector<int>>> groups;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const std::string value = ranks[rank].at(key);
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const auto& each) { return each.first == value; });
    if (group == groups.end()) group = groups.insert(groups.end(), {value, {}});
    group->second.push_back(static_cast<int>(rank));
  }
  if (groups.size() <= 1) return "";
  std::string text;
  for (const auto& [value, members] : groups)
    text += concat(text.empty() ? "" : ", ", value, " on ", rank_list(members));
  return text;
}

std::string difference(const std::vector<Entries>& ranks) {
  for (const Entries& entries : ranks)
    for (const std::string& key : entries.keys) {
      const std::string text = spread(ranks, key);
      if (!text.empty()) return key + " = " + text;
    }
  return "";
}

std::vector<Entries> parse_all(std::span<const std::string> texts,
                               Entries (*parse)(const std::string&)) {
  std::vector<Entries> all;
  for (const std::string& text : texts) all.push_back(parse(text));
  return all;
}

}  // namespace

std::string rank_list(std::span<const int> ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t begin = 0; begin < ranks.size();) {
    size_t end = begin + 1;
    while (end < ranks.size() && ranks[end] == ranks[end - 1] + 1) ++end;
    text += concat(begin > 0 ? ", " : "", ranks[begin]);
    if (end - begin > 1) text += concat(end - begin > 2 ? "-" : ", ", ranks[end - 1]);
    begin = end;
  }
  return text;
}

std::string config_difference(std::span<const std::string> configs) {
  return difference(parse_all(configs, parse_config));
}

std::string build_difference(std::span<const std::string> builds) {
  return difference(parse_all(builds, parse_build));
}

}  // namespace hecate::launcher
