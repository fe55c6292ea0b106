#include "launcher/launch/slurm.h"

#include <charconv>
#include <sstream>
#include <utility>

#include "runtime/base/error.h"

namespace hecate::launch {
namespace {

constexpr int64_t kMostNodes = 1'000'000;

// The whole text as a number of at least 1; nothing for anything else.
std::optional<int64_t> parse_count(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 1) return std::nullopt;
  return value;
}

int64_t number_in(const Environment& environment, const std::string& name, int64_t otherwise) {
  const std::optional<std::string> text = environment(name);
  if (!text) return otherwise;
  const std::optional<int64_t> value = parse_count(*text);
  HECATE_CHECK(value, name, " = '", *text, "': expected a number of at least 1");
  return *value;
}

// "2(x3)": tasks and on how many nodes.
std::optional<std::pair<int64_t, int64_t>> parse_group(std::string_view text) {
  const size_t open = text.find("(x");
  const std::optional<int64_t> tasks = parse_count(text.substr(0, open));
  if (!tasks || open == std::string_view::npos)
    return tasks ? std::optional(std::pair(*tasks, int64_t{1})) : std::nullopt;
  if (!text.ends_with(')')) return std::nullopt;
  const std::optional<int64_t> nodes = parse_count(text.substr(open + 2, text.size() - open - 3));
  if (!nodes || *nodes > kMostNodes) return std::nullopt;
  return std::pair(*tasks, *nodes);
}

}  // namespace

std::vector<int64_t> parse_tasks_per_node(std::string_view text, const std::string& source) {
  std::vector<int64_t> tasks;
  std::istringstream groups{std::string(text)};
  for (std::string each; std::getline(groups, each, ',');) {
    const auto group = parse_group(each);
    HECATE_CHECK(group, source, " = '", text, "': expected groups like 2(x3),1");
    tasks.insert(tasks.end(), static_cast<size_t>(group->second), group->first);
  }
  HECATE_CHECK(!tasks.empty(), source, " is empty: expected groups like 2(x3),1");
  return tasks;
}

std::optional<SlurmJob> slurm_job(const Environment& environment) {
  const std::optional<std::string> id = environment("SLURM_JOB_ID");
  if (!id) return std::nullopt;
  SlurmJob job{.id = *id,
               .tasks = number_in(environment, "SLURM_NTASKS", 0),
               .nodes = number_in(environment, "SLURM_JOB_NUM_NODES", 1),
               .tasks_per_node = {}};
  const std::optional<std::string> tasks = environment("SLURM_TASKS_PER_NODE");
  // Without --ntasks Slurm counts cores there.
  if (job.tasks > 0 && tasks)
    job.tasks_per_node = parse_tasks_per_node(*tasks, "SLURM_TASKS_PER_NODE");
  return job;
}

}  // namespace hecate::launch
