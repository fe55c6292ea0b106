#include "tests/launcher/train/random_placements.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace hecate::launcher {
namespace {

using collectives::Placement;
using sharding::Ownership;

template <class T>
void shuffle(std::vector<T>& values, Draws& draws) {
  for (int i = static_cast<int>(values.size()) - 1; i > 0; --i)
    std::swap(values[static_cast<size_t>(i)], values[static_cast<size_t>(draws.below(i + 1))]);
}

// From an expert that stays alone to one that is everywhere.
void add_copies(Placement& placement, int expert, int kind, Draws& draws) {
  const int devices = placement.devices();
  if (kind == 1) placement.add(expert, draws.below(devices));
  if (kind == 2) placement.add_everywhere(expert);
  if (kind == 3)
    for (int d = 0; d < devices; ++d)
      if (draws.below(3) == 0) placement.add(expert, d);
}

// The ranks' batches are whole numbers of micro-batches; 5 and 7 need numbers of their own.
int64_t batch_of(int ranks) {
  return ranks == 5 ? 30 : ranks == 7 ? 28 : 24;
}

std::string set(const std::string& key, const std::string& value) {
  return key + "=" + value;
}

}  // namespace

RandomPlacements::RandomPlacements(sharding::StrategyInputs inputs, uint64_t seed, bool release)
    : Strategy(std::move(inputs)), seed_(seed), release_(release) {}

Ownership RandomPlacements::draw_owners(int64_t step) const {
  Draws draws(seed_ * 1000 + static_cast<uint64_t>(step), "random owners");
  const int count = inputs().layers * inputs().experts, devices = inputs().devices();
  std::vector<int> order(static_cast<size_t>(devices)), owner;
  std::iota(order.begin(), order.end(), 0);
  shuffle(order, draws);  // the first ones own one expert more
  for (int i = 0; i < count; ++i) owner.push_back(order[static_cast<size_t>(i % devices)]);
  // Layer by layer, so that some layers are all of a few devices; or anywhere.
  if (draws.below(3) == 0)
    std::sort(owner.begin(), owner.end());
  else
    shuffle(owner, draws);
  return Ownership(inputs().layers, inputs().experts, devices, std::move(owner));
}

std::vector<Placement> RandomPlacements::plan_step(const Ownership& owners,
                                                   const sharding::LoadTracker&) {
  Draws draws(seed_ * 1000 + static_cast<uint64_t>(step_++), "random copies");
  std::vector<Placement> plan;
  for (int l = 0; l < owners.layers(); ++l) {
    plan.push_back(owners.placement(l));
    const int all = draws.below(8);  // one kind for the whole layer, or each its own
    for (int e = 0; e < owners.experts(); ++e)
      add_copies(plan.back(), e, all < 4 ? all : draws.below(4), draws);
  }
  return plan;
}

std::optional<Ownership> RandomPlacements::next_owners(int64_t step, const Ownership&,
                                                       const sharding::LoadTracker&) {
  if (!moves_owners(step)) return std::nullopt;
  return draw_owners(step);
}

std::vector<int> RandomPlacements::dispatch_groups() const {
  Draws draws(seed_, "random groups");
  if (draws.below(2) == 0) return Strategy::dispatch_groups();
  const int size = 1 + draws.below(inputs().devices());
  std::vector<int> groups;
  for (int d = 0; d < inputs().devices(); ++d) groups.push_back(d / size);
  return groups;
}

RandomRun::RandomRun(uint64_t seed_of_run) : seed(seed_of_run) {
  Draws draws(seed, "random run");
  release = draws.below(2) == 0;
  experts = draws.among<int>({1, 2, 3, 5, 8, 11});
  layers = 1 + draws.below(3);
  test.ranks = 2 + draws.below(7);
  test.ranks_per_node = draws.below(test.ranks);
  test.batch = batch_of(test.ranks);
  do test.micro_batches = 1 + draws.below(4);
  while (test.batch % (test.ranks * test.micro_batches) != 0);
  model = {set("model.experts", std::to_string(experts)),
           set("model.top_k", std::to_string(std::min(2, experts))),
           set("model.layers", std::to_string(layers)),
           set("model.gate", draws.among<std::string>({"softmax_renormalized", "sigmoid_bias"})),
           set("router.source", draws.among<std::string>({"zipf:1.2", "zipf:9"})),
           set("router.capacity_factor", draws.among<std::string>({"0", "0.7"}))};
  test.settings = model;
  std::vector<std::string> domains = {"all"};
  for (int size = 1; size < test.ranks; ++size)
    if (test.ranks % size == 0) domains.push_back(std::to_string(size));
  const auto choose = [&](const char* key, const std::vector<std::string>& values) {
    test.settings.push_back(set(key, draws.among(values)));
  };
  choose("fssdp.domain", {"all", "all", draws.among(domains)});
  choose("fssdp.dense", {"zero1", "zero3"});
  choose("fssdp.dispatch", {"nearest", "level"});
  choose("fssdp.sparse_algorithm", {"auto", "tree", "direct", "group"});
  choose("fssdp.exchange_algorithm", {"auto", "flat", "hierarchical"});
  choose("fssdp.prefetch_depth", {"0", "1", "2"});
  choose("model.recompute", {"none", "all"});
  test.name = "plan " + std::to_string(seed);
  for (const std::string& each : test.settings) test.name += " " + each;
  test.name += " ranks=" + std::to_string(test.ranks) + "/" + std::to_string(test.ranks_per_node) +
               " micro_batches=" + std::to_string(test.micro_batches) +
               (release ? " released" : "");
}

}  // namespace hecate::launcher
