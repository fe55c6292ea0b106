#include "launcher/launch/slurm.h"

#include <charconv>
#include <regex>
#include <sstream>

#include "runtime/base/error.h"

namespace hecate::launch {
namespace {

int64_t number_in(const Environment& environment, const std::string& name, int64_t otherwise) {
  const std::optional<std::string> text = environment(name);
  if (!text) return otherwise;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  HECATE_CHECK(error == std::errc{} && end == text->data() + text->size() && value >= 1, name,
               " = '", *text, "': expected a number of at least 1");
  return value;
}

}  // namespace

std::vector<int64_t> parse_tasks_per_node(std::string_view text, const std::string& source) {
  static const std::regex group(R"((\d{1,6})(\(x(\d{1,6})\))?)");
  std::vector<int64_t> tasks;
  std::istringstream groups{std::string(text)};
  for (std::string each; std::getline(groups, each, ',');) {
    std::smatch match;
    HECATE_CHECK(std::regex_match(each, match, group), source, " = '", text,
                 "': expected groups like 2(x3),1");
    const int64_t nodes = match[3].matched ? std::stoll(match[3]) : 1;
    tasks.insert(tasks.end(), static_cast<size_t>(nodes), std::stoll(match[1]));
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
