#include "sharding/strategy.h"

#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"
#include "sharding/node_map.h"
#include "sharding/strategies/balanced_sparse.h"
#include "sharding/strategies/expert_parallel.h"
#include "sharding/strategies/fastermoe.h"
#include "sharding/strategies/fully_sharded.h"
#include "sharding/strategies/laer.h"
#include "sharding/strategies/replicated.h"
#include "sharding/strategies/smartmoe.h"
#include "sharding/strategies/sparse.h"

namespace hecate::sharding {

Strategy::Strategy(StrategyInputs inputs) : inputs_(std::move(inputs)) {
  HECATE_CHECK(inputs_.layers > 0 && inputs_.experts > 0, "strategy: ", inputs_.layers,
               " layers of ", inputs_.experts, " experts; expected positive numbers");
  HECATE_CHECK(
      inputs_.overlap_degree >= 0 && inputs_.memory_capacity >= 0 && inputs_.reshard_interval >= 0,
      "strategy: t = ", inputs_.overlap_degree, ", m = ", inputs_.memory_capacity,
      ", reshard interval ", inputs_.reshard_interval, "; expected 0 or more");
  HECATE_CHECK(inputs_.rearrange.every >= 0 && inputs_.rearrange.slots >= 0 &&
                   inputs_.rearrange.groups > 0 && inputs_.rearrange.threshold >= 1,
               "strategy: rearrange every ", inputs_.rearrange.every, ", slots ",
               inputs_.rearrange.slots, ", groups ", inputs_.rearrange.groups, ", threshold ",
               inputs_.rearrange.threshold,
               "; expected 0 or more, 0 or more, 1 or more, 1 or more");
  NodeMap{inputs_.node_of};
}

Ownership Strategy::initial_owners() const {
  return even_ownership(inputs_.layers, inputs_.experts, inputs_.node_of);
}

std::optional<collectives::Placement> Strategy::plan_after_gate(int, const Ownership&,
                                                                const collectives::Placement&,
                                                                std::span<const int64_t>) {
  return std::nullopt;
}

HolderRows Strategy::split_rows(std::span<const int64_t>, std::span<const int>,
                                const collectives::Placement&) {
  throw InvalidArgument(concat("strategy ", name(), " does not split rows"));
}

bool Strategy::moves_owners(int64_t) const {
  return false;
}

std::optional<Ownership> Strategy::next_owners(int64_t, const Ownership&, const LoadTracker&) {
  return std::nullopt;
}

void Strategy::check_cost() const {
  HECATE_CHECK(inputs_.cost.has_value(), "strategy ", name(),
               ": where experts go follows from a layer's cost, which is unknown; give "
               "fssdp.expert_gflops");
}

bool Strategy::rearranges(int64_t step) const {
  return inputs_.rearrange.every > 0 && step > 0 && step % inputs_.rearrange.every == 0;
}

void Strategy::restore(std::span<const int64_t> state) {
  HECATE_CHECK(state.empty(), "strategy ", name(), ": keeps no state, got ", state.size(),
               " numbers");
}

std::span<const std::string> strategy_names() {
  static const std::vector<std::string> names = {
      "fssdp", "fssdp-rm", "ep", "fsdp", "smartmoe", "fastermoe", "flexmoe", "eplb", "laer"};
  return names;
}

bool strategy_needs_cost(const std::string& name) {
  return name == "fastermoe" || name == "flexmoe" || name == "laer";
}

std::unique_ptr<Strategy> make_strategy(const std::string& name, StrategyInputs inputs) {
  if (inputs.balanced_model && (name == "fssdp" || name == "fssdp-rm"))
    return std::make_unique<BalancedSparse>(std::move(inputs), name == "fssdp-rm");
  if (name == "fssdp") return std::make_unique<Sparse>(std::move(inputs), false);
  if (name == "fssdp-rm") return std::make_unique<Sparse>(std::move(inputs), true);
  if (name == "ep") return std::make_unique<ExpertParallel>(std::move(inputs));
  if (name == "fsdp") return std::make_unique<FullySharded>(std::move(inputs));
  if (name == "smartmoe") return std::make_unique<SmartMoe>(std::move(inputs));
  if (name == "fastermoe") return std::make_unique<FasterMoe>(std::move(inputs));
  if (name == "flexmoe") return std::make_unique<FlexMoe>(std::move(inputs));
  if (name == "eplb") return std::make_unique<Eplb>(std::move(inputs));
  if (name == "laer") return std::make_unique<Laer>(std::move(inputs));
  std::string known;
  for (const std::string& each : strategy_names()) known += (known.empty() ? "" : ", ") + each;
  const std::string nearest = nearest_name(name, strategy_names());
  throw InvalidArgument(concat("strategy '", name, "' is unknown; known: ", known,
                               nearest.empty() ? "" : "; did you mean '" + nearest + "'?"));
}

}  // namespace hecate::sharding
