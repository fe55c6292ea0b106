#include "monitoring/report/summary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

namespace hecate::monitoring {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

struct Group {
  std::string_view name;
  std::array<std::string_view, 5> kinds;
};

constexpr std::array<Group, 5> kCompute = {
    {{"attention", {"attention"}},
     {"dense layers", {"embedding", "normalization", "gemm", "elementwise", "loss"}},
     {"routing", {"routing", "permutation"}},
     {"experts", {"expert_gemm"}},
     {"optimizer", {"optimizer"}}}};

constexpr std::array<Group, 7> kTraffic = {{{"dispatch", {"dispatch"}},
                                            {"combine", {"combine"}},
                                            {"expert gather", {"expert_gather"}},
                                            {"expert reduce", {"expert_reduce"}},
                                            {"dense gather", {"dense_gather"}},
                                            {"dense reduce", {"dense_reduce"}},
                                            {"calibration", {"calibrate"}}}};

double sum_of(const Table& steps, const std::string& prefix, const Group& group) {
  double sum = 0;
  for (const std::string_view kind : group.kinds) {
    const double mean = kind.empty() ? kNone : steps.mean(prefix + std::string(kind));
    if (std::isfinite(mean)) sum += mean;
  }
  return sum;
}

std::vector<StepPart> logged_parts(const Table& steps) {
  constexpr std::string_view kPrefix = "critical_path.";
  std::vector<StepPart> parts;
  for (const std::string& column : steps.columns()) {
    if (!column.starts_with(kPrefix)) continue;
    std::string name = column.substr(kPrefix.size());
    if (name.ends_with("_seconds")) name.resize(name.size() - std::string_view("_seconds").size());
    std::ranges::replace(name, '_', ' ');
    const double seconds = steps.mean(column);
    if (std::isfinite(seconds) && seconds > 0)
      parts.push_back({.name = name, .seconds = seconds, .exposed = false});
  }
  std::ranges::stable_sort(parts, std::ranges::greater{}, &StepPart::seconds);
  return parts;
}

double worst_layer(const Table& steps) {
  double worst = kNone;
  for (const std::string& column : steps.columns())
    if (column.starts_with("load.") && column.ends_with(".max_over_mean"))
      worst = std::fmax(worst, steps.median(column));
  return worst;
}

double total_peak(const Table& steps) {
  double total = kNone;
  for (const std::string& column : steps.columns())
    if (column.starts_with("peak_bytes.")) {
      const double bytes = steps.last(column);
      if (std::isfinite(bytes)) total = std::isfinite(total) ? total + bytes : bytes;
    }
  return total;
}

}  // namespace

std::string RunData::setting(const std::string& key) const {
  const auto found = std::ranges::find(settings, key, &std::pair<std::string, std::string>::first);
  return found == settings.end() ? std::string() : found->second;
}

RunSummary summarise(const RunData& run) {
  RunSummary summary;
  summary.last_step = run.steps.last("step");
  summary.last_loss = run.steps.last("loss");
  summary.tokens = run.steps.last("tokens");
  summary.tokens_per_s = run.steps.median("tokens_per_s");
  summary.step_seconds = run.steps.median("step_seconds");
  summary.flops_utilization = run.steps.median("flops_utilization");
  summary.imbalance = worst_layer(run.steps);
  summary.peak_bytes = total_peak(run.steps);
  summary.best_eval_loss = summary.bits_per_byte = kNone;
  for (const double loss : run.evaluations.values("eval_loss"))
    summary.best_eval_loss = std::fmin(summary.best_eval_loss, loss);
  for (const double bits : run.evaluations.values("bits_per_byte"))
    summary.bits_per_byte = std::fmin(summary.bits_per_byte, bits);
  return summary;
}

std::vector<StepPart> step_parts(const RunData& run) {
  const Table& steps = run.steps;
  if (std::vector<StepPart> logged = logged_parts(steps); !logged.empty()) return logged;
  const double whole = steps.mean("step_seconds");
  std::vector<StepPart> parts;
  const auto add = [&](std::string name, double seconds, bool exposed) {
    if (seconds > 0)
      parts.push_back({.name = std::move(name), .seconds = seconds, .exposed = exposed});
  };
  for (const Group& group : kCompute)
    add(std::string(group.name), sum_of(steps, "breakdown.", group), false);
  for (const Group& group : kTraffic)
    add(std::string(group.name), sum_of(steps, "sharded.waited_seconds.", group), true);
  add("host", sum_of(steps, "sharded.waited_seconds.", {.name = "host", .kinds = {"host"}}), true);
  add("data", sum_of(steps, "breakdown.", {.name = "data", .kinds = {"data"}}), true);
  if (parts.empty()) return parts;
  double known = 0;
  for (const StepPart& part : parts) known += part.seconds;
  add("rest", whole - known, false);
  return parts;
}

std::vector<HiddenTime> hidden_times(const RunData& run) {
  std::vector<HiddenTime> times;
  const std::vector<std::string> columns = run.steps.columns();
  if (std::ranges::none_of(columns,
                           [](const std::string& name) { return name.starts_with("sharded."); }))
    return times;
  for (const Group& group : kTraffic) {
    const double exposed = sum_of(run.steps, "sharded.waited_seconds.", group);
    const double busy = std::max(exposed, sum_of(run.steps, "breakdown.", group));
    if (busy > 0)
      times.push_back(
          {.name = std::string(group.name), .busy_seconds = busy, .exposed_seconds = exposed});
  }
  return times;
}

}  // namespace hecate::monitoring
