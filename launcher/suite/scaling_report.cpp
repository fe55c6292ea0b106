#include <algorithm>
#include <map>
#include <sstream>

#include "launcher/suite/page.h"
#include "launcher/suite/scaling.h"
#include "runtime/io/file.h"

namespace hecate::launcher::suite {
namespace {

bool same_setting(const Cell& a, const Cell& b) {
  return a.group == b.group && a.cluster == b.cluster && a.model == b.model && a.loads == b.loads &&
         a.devices == b.devices;
}

const CellResult* even_of(const std::vector<CellResult>& results, const CellResult& result) {
  Cell like = result.cell;
  like.loads = like.model == "gpt" ? "even" : "modern-even";
  like.group = "weak";
  const CellResult* even = find(results, like);
  return even != nullptr && even->error.empty() ? even : nullptr;
}

bool skewed(const Cell& cell) {
  return cell.loads == "recorded" || cell.loads == "burst" || cell.loads == "modern";
}

// What most of the time between the bound and the layer goes to.
std::string largest_cost(const CellResult& result) {
  std::string name;
  double most = 0;
  for (const auto& [kind, seconds] : result.critical)
    if (kind != "gemm" && kind != "attention" && seconds > most &&
        (kind == "dispatch" || kind == "combine" || kind == "host" || kind == "permutation" ||
         kind == "expert_gather" || kind == "expert_reduce" || kind == "dense_gather" ||
         kind == "dense_reduce" || kind == "calibrate")) {
      most = seconds;
      name = kind;
    }
  return name + " takes " + fixed(100 * most / result.step_seconds, 1) +
         " % of the critical path, busiest device " + fixed(result.imbalance, 3) + " of the mean";
}

void add(std::vector<Judgement>& out, const CellResult& result, const char* goal, double value,
         double wanted, bool met) {
  out.push_back({.cell = result.cell,
                 .goal = goal,
                 .value = value,
                 .wanted = wanted,
                 .met = met,
                 .reason = met ? "" : largest_cost(result)});
}

void judge_cell(const std::vector<CellResult>& results, const CellResult& mine,
                std::vector<Judgement>& out) {
  const CellResult* rival = nullptr;
  const CellResult* ep = nullptr;
  for (const CellResult& other : results) {
    if (!same_setting(other.cell, mine.cell) || !other.error.empty() || !other.fits ||
        other.cell.strategy.starts_with("fssdp"))
      continue;
    if (rival == nullptr || other.step_seconds < rival->step_seconds) rival = &other;
    if (other.cell.strategy == "ep") ep = &other;
  }
  const std::string& loads = mine.cell.loads;
  if ((loads == "recorded" || loads == "burst") && rival != nullptr) {
    const double ahead = rival->step_seconds / mine.step_seconds;
    add(out, mine, "ahead of every other strategy", ahead, 1, ahead > 1);
    if (ahead <= 1) out.back().reason = rival->cell.label() + " is faster; " + out.back().reason;
  }
  if (loads.ends_with("even") && ep != nullptr) {
    const double behind = mine.step_seconds / ep->step_seconds;
    add(out, mine, "step over ep's on even loads", behind, 1.02, behind <= 1.02);
  }
  const CellResult* even = even_of(results, mine);
  if (mine.cell.group == "weak" && even != nullptr && (loads == "recorded" || loads == "modern")) {
    const double wanted = loads == "modern" ? 0.99 : 0.97;
    const double ratio = even->step_seconds / mine.step_seconds;
    add(out, mine, "T(even) / T", ratio, wanted, ratio >= wanted);
  }
}

std::vector<double> bound_ratios(const std::vector<CellResult>& results, const std::string& ours) {
  std::vector<double> ratios;
  for (const CellResult& result : results)
    if (result.cell.label() == ours && result.error.empty() && result.layer_seconds > 0 &&
        result.cell.group != "tuning")
      ratios.push_back(result.bound_seconds / result.layer_seconds);
  std::ranges::sort(ratios);
  return ratios;
}

std::vector<std::string> row_of(const std::vector<CellResult>& results, const CellResult& result) {
  const Cell& cell = result.cell;
  std::vector<std::string> row = {
      cell.group, cell.cluster, cell.model, cell.loads, std::to_string(cell.devices), cell.label()};
  if (!result.error.empty()) {
    row.push_back(marked(true, result.error));
    return row;
  }
  const CellResult* even = skewed(cell) ? even_of(results, result) : nullptr;
  row.push_back(marked(!result.fits, fixed(1e3 * result.step_seconds, 2)));
  row.push_back(even != nullptr ? fixed(even->step_seconds / result.step_seconds, 3) : "");
  row.push_back(fixed(result.bound_seconds / result.layer_seconds, 3));
  row.push_back(fixed(result.imbalance, 3));
  row.push_back(marked(!result.fits, fixed(result.memory_gib, 1)));
  return row;
}

void add_curves(const std::vector<CellResult>& results, Page& page) {
  std::map<std::string, std::map<std::string, Curve>> charts;
  for (const CellResult& result : results) {
    const Cell& cell = result.cell;
    if (!result.error.empty() || cell.group == "tuning") continue;
    Curve& curve =
        charts[cell.group + " scaling, " + cell.cluster + ", " + cell.loads][cell.label()];
    curve.label = cell.label();
    curve.x.push_back(cell.devices);
    curve.y.push_back(1e-3 * result.tokens / result.step_seconds / cell.devices);
  }
  for (const auto& [title, curves] : charts) {
    std::vector<Curve> list;
    for (const auto& [label, curve] : curves) list.push_back(curve);
    page.figure(line_chart(title + ": thousand tokens/s and device", "devices", "", list));
  }
}

}  // namespace

std::vector<Judgement> judge(const std::vector<CellResult>& results, const std::string& ours) {
  std::vector<Judgement> out;
  for (const CellResult& mine : results)
    if (mine.cell.label() == ours && mine.cell.group != "tuning" && mine.error.empty())
      judge_cell(results, mine, out);
  return out;
}

std::string run_scaling(const ScalingOptions& options) {
  std::vector<Contender> all = contenders(options);
  std::vector<CellResult> results =
      run_cells(tuning_cells(options, all), options.runner, "tuning.jsonl");
  take_tuning(results, all);
  results = run_cells(scaling_cells(options, all), options.runner, "scaling.jsonl");
  std::string ours = "fssdp";
  for (const Contender& each : all)
    if (each.strategy == "fssdp" && each.planner != "auto") ours = "fssdp/" + each.planner;

  Page page("Scaling, simulated");
  page.paragraph(
      "Steps of every strategy, simulated (docs/simulator.md). Marked: what does not fit "
      "the memory, and goals that are not met. Recorded loads: " +
      (options.trace.empty() ? std::string("none given; zipf:1.1 with drift instead")
                             : options.trace) +
      ".");
  page.heading("Tuning");
  std::vector<std::vector<std::string>> tuned = {{"strategy", "chosen"}};
  for (const Contender& each : all) tuned.push_back({each.strategy, each.chosen});
  page.table(tuned);
  page.heading("Goals of " + ours);
  const std::vector<Judgement> judgements = judge(results, ours);
  std::map<std::string, std::pair<int, int>> met;
  std::vector<std::vector<std::string>> goals = {
      {"goal", "group", "cluster", "loads", "devices", "value", "wanted", "reason"}};
  for (const Judgement& each : judgements) {
    met[each.goal].first += each.met ? 1 : 0;
    ++met[each.goal].second;
    goals.push_back({each.goal, each.cell.group, each.cell.cluster, each.cell.loads,
                     std::to_string(each.cell.devices), marked(!each.met, fixed(each.value, 3)),
                     fixed(each.wanted, 2), each.reason});
  }
  page.table(goals);
  std::ostringstream summary;
  summary << results.size() << " cells; goals of " << ours << ":\n";
  for (const auto& [goal, counts] : met)
    summary << "  " << goal << ": " << counts.first << " of " << counts.second << " met\n";
  const std::vector<double> ratios = bound_ratios(results, ours);
  if (!ratios.empty())
    summary << "  bound / layer time: median " << fixed(ratios[ratios.size() / 2], 3)
            << " (wanted 0.9), tenth percentile " << fixed(ratios[ratios.size() / 10], 3)
            << " (wanted 0.8)\n";
  page.paragraph(summary.str());
  page.heading("Curves");
  add_curves(results, page);
  page.heading("Cells");
  std::vector<std::vector<std::string>> rows = {{"group", "cluster", "model", "loads", "devices",
                                                 "strategy", "step ms", "T(even)/T", "bound/layer",
                                                 "busiest/mean", "GiB"}};
  for (const CellResult& result : results) rows.push_back(row_of(results, result));
  page.table(rows);
  io::write_file((options.runner.out / "report.html").string(), page.text());
  return summary.str();
}

}  // namespace hecate::launcher::suite
