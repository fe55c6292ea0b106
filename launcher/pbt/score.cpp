#include "launcher/pbt/score.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"

namespace hecate::launcher {
namespace {

using Json = nlohmann::json;

const Json* find(const Json& line, const std::string& metric) {
  const Json* found = &line;
  size_t begin = 0;
  while (begin <= metric.size()) {
    const size_t end = std::min(metric.find('.', begin), metric.size());
    const std::string key = metric.substr(begin, end - begin);
    if (!found->is_object() || !found->contains(key)) return nullptr;
    found = &found->at(key);
    begin = end + 1;
  }
  return found->is_number() || found->is_null() ? found : nullptr;
}

void add_names(const Json& line, const std::string& prefix, std::set<std::string>& names) {
  for (const auto& [key, value] : line.items()) {
    if (value.is_object()) add_names(value, prefix + key + ".", names);
    if (value.is_number()) names.insert(prefix + key);
  }
}

}  // namespace

double newest_metric(const std::filesystem::path& steps, const std::string& metric) {
  std::ifstream file(steps);
  std::optional<double> newest;
  std::set<std::string> names;
  for (std::string line; std::getline(file, line);) {
    const Json json = Json::parse(line, nullptr, false);
    if (!json.is_object()) continue;
    if (const Json* value = find(json, metric))
      newest = value->is_null() ? std::nan("") : value->get<double>();
    else if (!newest)
      add_names(json, "", names);
  }
  if (newest) return *newest;
  const std::vector<std::string> all(names.begin(), names.end());
  const std::string nearest = nearest_name(metric, all);
  throw InvalidArgument(concat("pbt.metric = '", metric, "': ", steps.string(),
                               " has no such number",
                               nearest.empty() ? "" : "; nearest: ", nearest));
}

}  // namespace hecate::launcher
