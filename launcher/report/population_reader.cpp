#include "launcher/report/population_reader.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <string>
#include <tuple>

#include "launcher/run/run_directory.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

using Json = nlohmann::json;
using monitoring::Exploit;

std::string text_of(const Json& json) {
  return json.is_string() ? json.get<std::string>() : json.dump();
}

double number_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? found->get<double>()
                                                   : std::numeric_limits<double>::quiet_NaN();
}

std::vector<std::pair<std::string, std::string>> values_of(const Json& json, const char* key) {
  std::vector<std::pair<std::string, std::string>> values;
  const auto found = json.find(key);
  if (found == json.end() || !found->is_object()) return values;
  for (const auto& [name, value] : found->items()) values.emplace_back(name, text_of(value));
  return values;
}

std::optional<Exploit> exploit_of(std::string_view line) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("target") || !json.contains("donor")) return std::nullopt;
  return Exploit{.target = text_of(json["target"]),
                 .donor = text_of(json["donor"]),
                 .target_step = number_of(json, "target_step"),
                 .donor_step = number_of(json, "donor_step"),
                 .target_score = number_of(json, "target_score"),
                 .donor_score = number_of(json, "donor_score"),
                 .before = values_of(json, "old"),
                 .after = values_of(json, "new")};
}

bool is_run(const std::filesystem::path& path) {
  try {
    RunDirectory::open(path);
    return true;
  } catch (const InvalidArgument&) {
    return false;
  }
}

void find_runs(const std::filesystem::path& directory, int deeper,
               std::vector<std::filesystem::path>& runs) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (!entry.is_directory(error)) continue;
    if (is_run(entry.path()))
      runs.push_back(entry.path());
    else if (deeper > 0)
      find_runs(entry.path(), deeper - 1, runs);
  }
}

// A member that became a copy went on in a directory of its own: of 03, 03.1 and 03.2 the last.
void keep_newest(std::vector<std::filesystem::path>& members) {
  const auto parts = [](const std::filesystem::path& path) {
    const std::string name = path.filename().string();
    const size_t dot = name.rfind('.');
    const bool copy = dot != std::string::npos && dot + 1 < name.size() &&
                      name.find_first_not_of("0123456789", dot + 1) == std::string::npos;
    return std::tuple(path.parent_path().string(), copy ? name.substr(0, dot) : name,
                      copy ? std::stoull(name.substr(dot + 1)) : 0);
  };
  std::ranges::sort(members, {}, parts);
  std::vector<std::filesystem::path> kept;
  for (const std::filesystem::path& member : members) {
    const auto same = [&](const std::filesystem::path& other) {
      return std::get<0>(parts(other)) == std::get<0>(parts(member)) &&
             std::get<1>(parts(other)) == std::get<1>(parts(member));
    };
    if (!kept.empty() && same(kept.back())) kept.pop_back();
    kept.push_back(member);
  }
  members = std::move(kept);
}

}  // namespace

Population read_population(const std::filesystem::path& directory) {
  Population population;
  std::istringstream text(io::read_file(directory / kPopulationLog));
  for (std::string line; std::getline(text, line);)
    if (std::optional<Exploit> exploit = exploit_of(line))
      population.exploits.push_back(std::move(*exploit));
  find_runs(directory, 1, population.members);
  keep_newest(population.members);
  return population;
}

}  // namespace hecate::launcher
