#include "launcher/suite/scaling.h"

#include <algorithm>
#include <set>

#include "runtime/base/error.h"
#include "sharding/strategy.h"

namespace hecate::launcher::suite {
namespace {

constexpr int64_t kTuningDevices = 64;

// GPT-MoE-L of arXiv 2502.02581 with eight of its layers, and Qwen3-30B-A3B with eight of its own.
std::vector<std::string> model_settings(const std::string& model) {
  if (model == "gpt") return {"model.preset=gpt-moe-l", "model.layers=8"};
  return {"model.preset=qwen3-30b-a3b", "model.layers=8", "model.sequence=4096"};
}

struct Loads {
  std::string name, model, text;
};

std::vector<Loads> loads_of(const ScalingOptions& options) {
  const std::string recorded =
      options.trace.empty() ? "zipf:1.1,drift=0.02" : "trace:" + options.trace + ",from=40";
  return {{"even", "gpt", "even"},
          {"recorded", "gpt", recorded},
          {"burst", "gpt", "dirichlet:0.5,drift=0.02,burst=0.2,share=0.3"},
          {"modern-even", "modern", "even"},
          {"modern", "modern", "dirichlet:0.1,drift=0.02"}};
}

// Sequences of a micro-batch on one device: 8192 tokens of the one, 4096 of the other.
int64_t micro_batch(const std::string& model) {
  return model == "gpt" ? 4 : 1;
}

// Sequences per device and step: 32768 tokens.
int64_t per_device(const std::string& model) {
  return model == "gpt" ? 16 : 8;
}

Cell cell_of(const Contender& contender, const Loads& loads, const std::string& cluster,
             int devices, int64_t batch, const std::string& group) {
  Cell cell;
  cell.group = group;
  cell.strategy = contender.strategy;
  cell.planner = contender.planner;
  cell.cluster = cluster;
  cell.model = loads.model;
  cell.loads = loads.name;
  cell.devices = devices;
  cell.load_text = loads.text;
  cell.settings = model_settings(loads.model);
  cell.settings.push_back(concat("train.global_batch=", batch));
  cell.settings.push_back(concat("train.micro_batch=", micro_batch(loads.model)));
  for (std::string each : contender.settings) {
    // A domain is at most the cluster.
    if (each.starts_with("fssdp.domain=") && std::stoi(each.substr(13)) > devices)
      each = concat("fssdp.domain=", devices);
    cell.settings.push_back(each);
  }
  // 64 of an NVL72's 72 devices: the sizes are powers of two.
  if (cluster == "gb200-nvl72") cell.devices_per_node = 64;
  return cell;
}

// Whether the runtime has a planner of this name for the strategy.
bool plans_with(const std::string& strategy, const std::string& planner) {
  try {
    config::Settings settings;
    settings.add_override("strategy=" + strategy);
    settings.add_override("planner=" + planner);
    load_run_config(settings, {"data"});
    return true;
  } catch (const InvalidArgument&) {
    return false;
  }
}

}  // namespace

std::vector<Contender> contenders(const ScalingOptions& options) {
  std::vector<Contender> all;
  for (const std::string& name : sharding::strategy_names()) {
    const bool asked = options.strategies.empty() ||
                       std::ranges::find(options.strategies, name) != options.strategies.end();
    if (!asked) continue;
    all.push_back({.strategy = name, .settings = {}, .chosen = {}});
    if (name == "fssdp" && plans_with(name, "balanced"))
      all.push_back({.strategy = name, .planner = "balanced", .settings = {}, .chosen = {}});
  }
  return all;
}

std::vector<std::vector<std::string>> candidates(const std::string& strategy) {
  std::vector<std::vector<std::string>> all;
  const bool ours = strategy.starts_with("fssdp");
  const std::set<std::string> with_slots = {"fastermoe", "flexmoe", "eplb", "laer"};
  const std::set<std::string> with_interval = {"smartmoe", "flexmoe", "eplb"};
  for (const char* domain : {"8", "32", "64"}) {
    std::vector<std::vector<std::string>> list = {{std::string("fssdp.domain=") + domain}};
    const auto cross = [&](const std::string& key, std::initializer_list<const char*> values) {
      std::vector<std::vector<std::string>> grown;
      for (const auto& each : list)
        for (const char* value : values) {
          grown.push_back(each);
          grown.back().push_back(key + "=" + value);
        }
      list = std::move(grown);
    };
    if (with_slots.contains(strategy)) cross("rearrange.slots", {"1", "2", "4"});
    if (with_interval.contains(strategy)) cross("rearrange.every", {"10", "50"});
    if (ours) cross("fssdp.memory_capacity", {"2", "4"});
    all.insert(all.end(), list.begin(), list.end());
  }
  return all;
}

std::vector<Cell> tuning_cells(const ScalingOptions& options,
                               const std::vector<Contender>& contenders) {
  const Loads loads = loads_of(options)[1];
  std::vector<Cell> cells;
  for (const Contender& contender : contenders) {
    const auto all = candidates(contender.strategy);
    for (size_t i = 0; i < all.size(); ++i) {
      if (options.quick && i % 3 != 0) continue;
      Contender tried = contender;
      tried.settings = all[i];
      const int devices = options.quick ? 16 : kTuningDevices;
      Cell cell =
          cell_of(tried, loads, "dgx-h100", devices, devices * per_device(loads.model), "tuning");
      for (const std::string& each : all[i])
        cell.variant += (cell.variant.empty() ? "" : " ") + each;
      cells.push_back(std::move(cell));
    }
  }
  return cells;
}

void take_tuning(const std::vector<CellResult>& results, std::vector<Contender>& contenders) {
  for (Contender& contender : contenders) {
    const CellResult* best = nullptr;
    for (const CellResult& result : results) {
      if (result.cell.group != "tuning" || result.cell.strategy != contender.strategy ||
          result.cell.planner != contender.planner || !result.error.empty() || !result.fits)
        continue;
      if (best == nullptr || result.step_seconds < best->step_seconds) best = &result;
    }
    if (best == nullptr) continue;
    contender.chosen = best->cell.variant;
    for (const auto& settings : candidates(contender.strategy)) {
      std::string text;
      for (const std::string& each : settings) text += (text.empty() ? "" : " ") + each;
      if (text == contender.chosen) contender.settings = settings;
    }
  }
}

std::vector<Cell> scaling_cells(const ScalingOptions& options,
                                const std::vector<Contender>& contenders) {
  std::vector<Cell> cells;
  const auto add = [&](const char* group, const char* cluster, int devices, const Loads& loads,
                       int64_t batch) {
    for (const Contender& contender : contenders)
      cells.push_back(cell_of(contender, loads, cluster, devices, batch, group));
  };
  const std::vector<int> sizes =
      options.quick ? std::vector<int>{8, 16} : std::vector<int>{8, 64, 512, 4096};
  for (const Loads& loads : loads_of(options)) {
    if (options.quick && loads.model != "gpt") continue;
    for (const int devices : sizes)
      add("weak", "dgx-h100", devices, loads, devices * per_device(loads.model));
    if (options.quick) continue;
    for (const int devices : {64, 512, 4096})
      add("weak", "gb200-nvl72", devices, loads, devices * per_device(loads.model));
  }
  const int64_t batch = sizes.back() * per_device("gpt");
  for (const int devices : sizes)
    if (devices != sizes.back()) add("strong", "dgx-h100", devices, loads_of(options)[1], batch);
  return cells;
}

}  // namespace hecate::launcher::suite
