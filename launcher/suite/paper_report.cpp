#include <algorithm>
#include <map>
#include <sstream>

#include "launcher/suite/page.h"
#include "launcher/suite/paper.h"
#include "runtime/io/file.h"

namespace hecate::launcher::suite {
namespace {

std::string setting_of(const Cell& cell) {
  return cell.cluster + ", " + std::to_string(cell.devices);
}

const CellResult* like(const std::vector<CellResult>& results, Cell cell,
                       const std::string& strategy) {
  cell.strategy = strategy;
  const CellResult* found = find(results, cell);
  return found != nullptr && found->error.empty() ? found : nullptr;
}

// Bars over EP, one chart per setting, one group per model.
void add_speed_ups(const std::vector<CellResult>& results, Page& page) {
  std::map<std::string, std::vector<BarGroup>> charts;
  for (const CellResult& result : results) {
    if (result.cell.group != "speed-up") continue;
    std::vector<BarGroup>& groups = charts[setting_of(result.cell)];
    if (groups.empty() || groups.back().title != result.cell.model)
      groups.push_back({.title = result.cell.model, .bars = {}});
    const CellResult* ep = like(results, result.cell, "ep");
    const bool there = ep != nullptr && result.error.empty();
    groups.back().bars.push_back({.label = result.cell.label(),
                                  .parts = {there ? ep->step_seconds / result.step_seconds : 0},
                                  .missing = !there || !result.fits});
  }
  page.heading("Speed-up over EP (figures of the end-to-end comparison)");
  for (const auto& [setting, groups] : charts)
    page.figure(bar_chart("Step of EP over that of each system, " + setting, "x", groups, {}, 1));
}

void add_layers(const std::vector<CellResult>& results, Page& page) {
  page.heading("Speed-up of single layers over EP: GPT-MoE-S on cluster B");
  std::vector<BarGroup> groups;
  for (const CellResult& result : results) {
    if (result.cell.group != "speed-up" || result.cell.model != "gpt-moe-s" ||
        result.cell.cluster != "paper-b" || result.cell.strategy == "ep" || !result.error.empty())
      continue;
    const CellResult* ep = like(results, result.cell, "ep");
    if (ep == nullptr) continue;
    groups.resize(std::max(groups.size(), result.layers.size()));
    for (size_t l = 0; l < result.layers.size() && l < ep->layers.size(); ++l) {
      groups[l].title = std::to_string(l);
      groups[l].bars.push_back({.label = result.cell.label(),
                                .parts = {ep->layers[l] / result.layers[l]},
                                .missing = false});
    }
  }
  page.figure(bar_chart("Experts' part of layer l, EP over each system (the paper: 2.8 to 18.8)",
                        "x", groups, {}, 1));
}

void add_stacks(const std::vector<CellResult>& results, Page& page) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> classes = {
      {"attention and dense",
       {"gemm", "attention", "normalization", "elementwise", "embedding", "loss", "optimizer"}},
      {"experts", {"expert_gemm"}},
      {"routing", {"routing", "permutation", "host"}},
      {"all-to-all", {"dispatch", "combine"}},
      {"sparse collectives", {"expert_gather", "expert_reduce", "calibrate"}},
      {"dense collectives", {"dense_gather", "dense_reduce"}}};
  BarGroup time{.title = "bert-moe-deep, paper-b", .bars = {}}, memory = time;
  std::vector<std::string> parts, categories = {"parameters",   "gradients",   "optimizer",
                                                "materialized", "activations", "buffers"};
  for (const auto& [name, kinds] : classes) parts.push_back(name);
  for (const CellResult& result : results) {
    if (result.cell.group != "speed-up" || result.cell.model != "bert-moe-deep" ||
        result.cell.cluster != "paper-b" || !result.error.empty())
      continue;
    Bar bar{.label = result.cell.label(), .parts = {}, .missing = false}, held = bar;
    for (const auto& [name, kinds] : classes) {
      double sum = 0;
      for (const std::string& kind : kinds)
        if (const auto found = result.critical.find(kind); found != result.critical.end())
          sum += found->second;
      bar.parts.push_back(1e3 * sum);
    }
    for (const std::string& category : categories)
      held.parts.push_back(result.memory.at(category) / (1 << 30));
    time.bars.push_back(bar);
    memory.bars.push_back(held);
  }
  page.heading("Critical path and memory: BERT-MoE-Deep on cluster B");
  page.figure(bar_chart("What the critical path of a step consists of", "ms", {time}, parts));
  page.figure(bar_chart("Memory of the fullest device by category", "GiB", {memory}, categories));
}

void add_variants(const std::vector<CellResult>& results, Page& page) {
  std::vector<BarGroup> components, intervals;
  std::map<int, BarGroup> batches;
  for (const CellResult& result : results) {
    if (!result.error.empty()) continue;
    const double tokens = 1e-3 * result.tokens / result.step_seconds;
    const auto group = [&](std::vector<BarGroup>& groups) {
      groups.push_back({.title = result.cell.variant, .bars = {}});
      groups.back().bars.push_back({.label = "fssdp", .parts = {1e3 * result.step_seconds}});
    };
    if (result.cell.group == "components") group(components);
    if (result.cell.group == "interval") group(intervals);
    if (result.cell.group == "batch") {
      BarGroup& batch = batches[std::stoi(result.cell.variant)];
      batch.title = result.cell.variant;
      batch.bars.push_back(
          {.label = result.cell.label(), .parts = {tokens}, .missing = !result.fits});
    }
  }
  std::vector<BarGroup> by_batch;
  for (const auto& [size, batch] : batches) by_batch.push_back(batch);
  page.heading("Batch sizes, components, intervals");
  page.figure(bar_chart("GPT-MoE-L on A by sequences per device (x: more memory than there is)",
                        "thousand tokens/s", by_batch, {}));
  page.figure(bar_chart("Components, BERT-MoE-Deep on B", "ms", components, {}));
  page.figure(bar_chart("Steps between moves of owners, BERT-MoE-Deep on B", "ms", intervals, {}));
}

std::vector<std::string> row_of(const CellResult& result) {
  const Cell& cell = result.cell;
  std::vector<std::string> row = {cell.group, cell.model, setting_of(cell), cell.label(),
                                  cell.variant};
  if (!result.error.empty()) {
    row.push_back(marked(true, result.error));
    return row;
  }
  row.push_back(fixed(1e3 * result.step_seconds, 2));
  row.push_back(fixed(result.imbalance, 3));
  row.push_back(marked(!result.fits, fixed(result.memory_gib, 2)));
  return row;
}

}  // namespace

std::string run_paper(const PaperOptions& options) {
  const std::vector<CellResult> results =
      run_cells(paper_cells(options), options.runner, "paper.jsonl");
  Page page("The paper's evaluation, simulated");
  page.paragraph(
      "arXiv 2502.02581, figures 9 to 15. Loads: " +
      (options.trace.empty() ? std::string("zipf:1.1 with drift, a stand-in") : options.trace) +
      ". Clusters: configs/clusters/paper-a.toml and paper-b.toml, whose efficiencies are "
      "estimates.");
  std::ostringstream summary;
  summary << results.size() << " cells\n";
  std::vector<std::vector<std::string>> rows = {
      {"claim", "paper", "simulated", "where they differ"}};
  for (const Claim& claim : claims(results)) {
    if (!claim.known) continue;
    const std::string paper = claim.low == claim.high
                                  ? fixed(claim.low, 3)
                                  : fixed(claim.low, 2) + " to " + fixed(claim.high, 2);
    const bool agrees = claim.agrees();
    rows.push_back(
        {claim.name, paper, marked(!agrees, fixed(claim.ours, 3)), agrees ? "" : claim.why});
    summary << "  " << claim.name << ": paper " << paper << ", simulated " << fixed(claim.ours, 3)
            << (agrees ? "" : "; " + claim.why) << "\n";
  }
  page.heading("Claims");
  page.table(rows);
  add_speed_ups(results, page);
  add_layers(results, page);
  add_stacks(results, page);
  add_variants(results, page);
  page.heading("Cells");
  std::vector<std::vector<std::string>> cells = {{"group", "model", "cluster, devices", "strategy",
                                                  "variant", "step ms", "busiest/mean", "GiB"}};
  for (const CellResult& result : results) cells.push_back(row_of(result));
  page.table(cells);
  io::write_file(options.runner.out / "report.html", page.text());
  return summary.str();
}

}  // namespace hecate::launcher::suite
