#include "launcher/report/step_lines.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

using monitoring::PlacementSnapshot;
using Json = nlohmann::json;

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kLongestList = 64, kMostPlacements = 24, kMostLoads = 160, kMostNotes = 5;

std::optional<int64_t> layer_number(const std::string& key) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), number);
  if (error != std::errc{} || end != key.data() + key.size() || number < 0) return std::nullopt;
  return number;
}

bool is_numbers(const Json& json) {
  return json.is_array() &&
         std::ranges::all_of(json, [](const Json& each) { return each.is_number(); });
}

void flatten(const Json& json, const std::string& name, std::map<std::string, double>& values) {
  if (json.is_object()) {
    for (const auto& [key, item] : json.items())
      flatten(item, name.empty() ? key : name + "." + key, values);
  } else if (json.is_number()) {
    values[name] = json.get<double>();
  } else if (json.is_null()) {
    values[name] = kNone;
  } else if (json.is_array() && json.size() <= kLongestList) {
    for (size_t i = 0; i < json.size(); ++i)
      if (json[i].is_number()) values[concat(name, ".", i)] = json[i].get<double>();
  }
}

// "load": {"3": {"counts": [...]}}; the counts do not become columns.
void take_counts(Json& json, StepLine& line) {
  const auto load = json.find("load");
  if (load == json.end() || !load->is_object()) return;
  for (auto& [key, layer] : load->items()) {
    if (!layer.is_object() || !layer.contains("counts")) continue;
    const std::optional<int64_t> number = layer_number(key);
    if (number && is_numbers(layer["counts"]))
      line.counts[*number] = layer["counts"].get<std::vector<int64_t>>();
    layer.erase("counts");
  }
}

// {"owners": [...], "holders": [[...], ...]}
std::optional<PlacementSnapshot::Layer> placed_layer(const Json& json) {
  if (!json.is_object() || !json.contains("owners") || !json.contains("holders"))
    return std::nullopt;
  const Json &owners = json["owners"], &holders = json["holders"];
  if (!is_numbers(owners) || !holders.is_array() || holders.size() != owners.size() ||
      !std::ranges::all_of(holders, is_numbers))
    return std::nullopt;
  PlacementSnapshot::Layer layer;
  layer.owners = owners.get<std::vector<int64_t>>();
  for (size_t e = 0; e < holders.size(); ++e) {
    auto copies = holders[e].get<std::vector<int64_t>>();
    std::erase(copies, layer.owners[e]);
    layer.copies.push_back(std::move(copies));
  }
  return layer;
}

void take_placement(Json& json, StepLine& line) {
  const auto found = json.find("placement");
  if (found == json.end()) return;
  const Json placement = std::move(*found);
  json.erase(found);
  if (!placement.is_object()) return;
  PlacementSnapshot snapshot;
  for (const auto& [key, value] : placement.items()) {
    const std::optional<int64_t> number = layer_number(key);
    std::optional<PlacementSnapshot::Layer> layer = number ? placed_layer(value) : std::nullopt;
    if (!layer) continue;
    layer->layer = *number;
    if (const auto counts = line.counts.find(*number);
        counts != line.counts.end() && counts->second.size() == layer->owners.size())
      layer->loads = counts->second;
    snapshot.layers.push_back(std::move(*layer));
  }
  std::ranges::sort(snapshot.layers, {}, &PlacementSnapshot::Layer::layer);
  if (!snapshot.layers.empty()) line.placement = std::move(snapshot);
}

template <class T>
std::vector<T> choose(std::vector<T> all, size_t most) {
  std::vector<T> some;
  for (const size_t i : chosen_evenly(all.size(), most)) some.push_back(std::move(all[i]));
  return some;
}

struct StepCounts {
  int64_t step;
  std::map<int64_t, std::vector<int64_t>> layers;
};

// Steps whose layers or experts differ from the last one's are left out.
void gather_loads(std::vector<StepCounts> all, StepLines& lines) {
  if (all.empty()) return;
  const StepCounts model = all.back();
  const size_t experts = model.layers.begin()->second.size();
  monitoring::ExpertLoads loads;
  loads.experts = static_cast<int64_t>(experts);
  for (const auto& [layer, counts] : model.layers) loads.layers.push_back(layer);
  const auto alike = [&](const StepCounts& step) {
    return std::ranges::equal(step.layers, loads.layers, {},
                              [](const auto& entry) { return entry.first; }) &&
           std::ranges::all_of(step.layers,
                               [&](const auto& entry) { return entry.second.size() == experts; });
  };
  for (const StepCounts& step : choose(std::move(all), kMostLoads)) {
    if (!alike(step)) continue;
    loads.steps.push_back(step.step);
    for (const auto& [layer, counts] : step.layers)
      loads.counts.insert(loads.counts.end(), counts.begin(), counts.end());
  }
  if (!loads.steps.empty()) lines.loads = std::move(loads);
}

void add_row(monitoring::Table& table, const StepLine& line) {
  table.add_row();
  for (const auto& [name, value] : line.values) table.set(name, value);
}

class Collector {
 public:
  void add(std::string_view text, int64_t number) {
    if (text.empty()) return;
    std::optional<StepLine> line = parse_step_line(text);
    if (!line) return complain(number);
    if (line->evaluation) return add_row(lines_.evaluations, *line);
    const auto step = static_cast<int64_t>(line->value("step"));
    add_row(lines_.steps, *line);
    const double seconds = line->value("step_seconds");
    if (std::isfinite(seconds))
      elapsed_ += seconds * static_cast<double>(std::max<int64_t>(1, step - last_step_));
    lines_.steps.set("elapsed_seconds", elapsed_);
    last_step_ = step;
    if (!line->counts.empty()) counts_.push_back({step, std::move(line->counts)});
    if (!line->placement) return;
    line->placement->step = step;
    lines_.placements.push_back(std::move(*line->placement));
  }

  StepLines finish() {
    lines_.placements = choose(std::move(lines_.placements), kMostPlacements);
    gather_loads(std::move(counts_), lines_);
    if (bad_ > kMostNotes)
      lines_.notes.push_back(
          concat("steps.jsonl: ", bad_ - kMostNotes, " more lines are no steps"));
    return std::move(lines_);
  }

 private:
  void complain(int64_t number) {
    if (++bad_ <= kMostNotes)
      lines_.notes.push_back(concat("steps.jsonl:", number,
                                    ": passed over: expected a JSON object with an integer "
                                    "\"step\""));
  }

  StepLines lines_;
  std::vector<StepCounts> counts_;
  double elapsed_ = 0;
  int64_t last_step_ = 0;
  size_t bad_ = 0;
};

}  // namespace

double StepLine::value(const std::string& name) const {
  const auto found = values.find(name);
  return found == values.end() ? kNone : found->second;
}

std::optional<StepLine> parse_step_line(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer())
    return std::nullopt;
  StepLine line;
  line.evaluation = json.contains("eval_loss");
  take_counts(json, line);
  take_placement(json, line);
  flatten(json, "", line.values);
  return line;
}

StepLines read_step_lines(std::string_view text) {
  Collector collector;
  int64_t number = 1;
  for (size_t begin = 0; begin < text.size(); ++number) {
    const size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) break;
    collector.add(text.substr(begin, end - begin), number);
    begin = end + 1;
  }
  return collector.finish();
}

std::vector<size_t> chosen_evenly(size_t count, size_t most) {
  std::vector<size_t> chosen;
  if (count <= most || most < 2) {
    for (size_t i = 0; i < std::min(count, most); ++i) chosen.push_back(i);
    return chosen;
  }
  for (size_t i = 0; i < most; ++i) chosen.push_back(i * (count - 1) / (most - 1));
  return chosen;
}

}  // namespace hecate::launcher
