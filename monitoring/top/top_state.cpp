#include "monitoring/top/top_state.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

namespace hecate::monitoring {
namespace {

// One number of a run, as the exporter and as the step log call it.
struct Scalar {
  std::string_view metric, column;
  double TopState::*value;
};
constexpr std::array<Scalar, 14> kScalars = {{
    {"hecate_steps_total", "step", &TopState::step},
    {"hecate_target_steps", "", &TopState::total_steps},
    {"hecate_tokens_total", "tokens", &TopState::tokens},
    {"hecate_loss", "loss", &TopState::loss},
    {"hecate_eval_loss", "eval_loss", &TopState::eval_loss},
    {"hecate_learning_rate", "lr", &TopState::rate},
    {"hecate_gradient_norm", "grad_norm", &TopState::gradient_norm},
    {"hecate_step_seconds", "step_seconds", &TopState::step_seconds},
    {"hecate_tokens_per_second", "tokens_per_s", &TopState::tokens_per_s},
    {"hecate_flops_utilization_ratio", "flops_utilization", &TopState::flops_utilization},
    {"hecate_exposed_ratio", "exposed_share", &TopState::exposed_share},
    {"hecate_slowest_rank", "ranks.slowest", &TopState::slowest_rank},
    {"hecate_memory_peak_total_bytes", "", &TopState::peak_bytes},
    {"hecate_memory_budget_bytes", "memory_budget_bytes", &TopState::budget_bytes},
}};

std::optional<int64_t> number_of(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

void take_of_layer(const Sample& sample, TopState& state) {
  const std::optional<int64_t> layer = number_of(sample.label("layer"));
  if (!layer) return;
  if (sample.name == "hecate_expert_load_max_ratio")
    state.layers[*layer].max_over_mean = sample.value;
  if (sample.name != "hecate_device_imbalance_ratio") return;
  if (sample.label("placement") == "owners")
    state.layers[*layer].imbalance_at_owners = sample.value;
  if (sample.label("placement") == "materialized") state.layers[*layer].imbalance = sample.value;
}

void take_of_rank(const Sample& sample, double now, TopState& state) {
  const std::optional<int64_t> rank = number_of(sample.label("rank"));
  if (!rank) return;
  if (sample.name == "hecate_rank_compute_seconds")
    state.ranks[*rank].compute_seconds = sample.value;
  if (sample.name == "hecate_rank_waited_seconds") state.ranks[*rank].waited_seconds = sample.value;
  // The rank that is longest silent is what the run waits for.
  if (sample.name == "hecate_heartbeat_timestamp_seconds")
    state.age_seconds = std::fmax(state.age_seconds, now - sample.value);
}

void find_slowest(TopState& state) {
  double most = -1;
  for (const auto& [rank, vitals] : state.ranks)
    if (vitals.compute_seconds > most) {
      most = vitals.compute_seconds;
      state.slowest_rank = static_cast<double>(rank);
    }
}

// "PREFIX.7.NAME": 7.
std::optional<int64_t> number_between(std::string_view text, std::string_view prefix,
                                      std::string_view name) {
  if (!text.starts_with(prefix) || !text.ends_with(name) ||
      text.size() <= prefix.size() + name.size())
    return std::nullopt;
  return number_of(text.substr(prefix.size(), text.size() - prefix.size() - name.size()));
}

void take_numbered(const std::string& column, double value, TopState& state) {
  if (const auto layer = number_between(column, "load.", ".max_over_mean"))
    state.layers[*layer].max_over_mean = value;
  else if (const auto owners = number_between(column, "sharded.layers.", ".imbalance_at_owners"))
    state.layers[*owners].imbalance_at_owners = value;
  else if (const auto placed = number_between(column, "sharded.layers.", ".imbalance"))
    state.layers[*placed].imbalance = value;
  else if (const auto rank = number_between(column, "ranks.compute_seconds.", ""))
    state.ranks[*rank].compute_seconds = value;
  else if (const auto waiting = number_between(column, "ranks.waited_seconds.", ""))
    state.ranks[*waiting].waited_seconds = value;
}

}  // namespace

void TopState::remember() {
  if (!std::isfinite(step)) return;
  const auto place = std::ranges::lower_bound(steps_, step);
  const auto kept = place - steps_.begin();
  steps_.resize(static_cast<size_t>(kept));
  losses.resize(static_cast<size_t>(kept));
  speeds.resize(static_cast<size_t>(kept));
  steps_.push_back(step);
  losses.push_back(loss);
  speeds.push_back(tokens_per_s);
  if (steps_.size() <= kMostHistory) return;
  steps_.erase(steps_.begin());
  losses.erase(losses.begin());
  speeds.erase(speeds.begin());
}

void take_samples(std::span<const Sample> samples, double now, TopState& state) {
  state.age_seconds = TopState::kNone;
  for (const Scalar& scalar : kScalars)
    for (const Sample& sample : samples)
      if (sample.name == scalar.metric) {
        state.*scalar.value = sample.value;
        break;
      }
  for (const Sample& sample : samples) {
    take_of_layer(sample, state);
    take_of_rank(sample, now, state);
  }
  if (!std::isfinite(state.slowest_rank)) find_slowest(state);
  state.remember();
}

void take_columns(const std::map<std::string, double>& values, double now, TopState& state) {
  for (const Scalar& scalar : kScalars)
    if (const auto found = values.find(std::string(scalar.column)); found != values.end())
      state.*scalar.value = found->second;
  double peak = 0;
  for (const auto& [column, value] : values) {
    take_numbered(column, value, state);
    if (column.starts_with("peak_bytes.")) peak += value;
  }
  if (peak > 0) state.peak_bytes = peak;
  if (const auto time = values.find("time"); time != values.end())
    state.age_seconds = std::fmax(0, now - time->second);
  if (!std::isfinite(state.slowest_rank)) find_slowest(state);
  state.remember();
}

}  // namespace hecate::monitoring
