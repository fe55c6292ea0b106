#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "tests/launcher/train/rank_run.h"
#include "tests/launcher/train/tiny_run.h"

/// What ranks really hold under each strategy: the paper's GPT-MoE (24 layers, all with experts),
/// D 128, 16 experts of which each of 8 ranks owns two per layer and can hold four more. A rank has
/// one sequence of 128 tokens a step: states are most of the memory, as they are at scale, so that
/// activations do not drown what is compared.
namespace hecate::launcher {
namespace {

constexpr int kRanks = 8;
constexpr int kCopies = 4;  // t and m
constexpr int kLayers = 24;

struct Held {
  std::vector<MemoryBytes> peak;  // per rank
  RankResult run;
  int64_t parameters = 0;

  int64_t over_ranks(MemoryCategory category) const {
    int64_t sum = 0;
    for (const MemoryBytes& bytes : peak) sum += bytes[static_cast<size_t>(category)];
    return sum;
  }
  int64_t over_ranks() const {
    int64_t sum = 0;
    for (const MemoryBytes& bytes : peak) sum += total(bytes);
    return sum;
  }
  const MemoryBytes& fullest() const {
    return *std::ranges::max_element(peak, {},
                                     [](const MemoryBytes& bytes) { return total(bytes); });
  }
};

Held hold(const std::string& strategy, int depth) {
  const TinyRun run;
  const RunConfig config =
      run.config({"model.preset=gpt-moe-s", "model.layers=" + std::to_string(kLayers),
                  "model.d_model=128", "model.heads=2", "model.sequence=128", "model.experts=16",
                  "model.expert_hidden=256", "router.source=zipf:1.2",
                  "train.global_batch=" + std::to_string(kRanks), "train.micro_batch=1",
                  "strategy=" + strategy, "fssdp.prefetch_depth=" + std::to_string(depth),
                  "fssdp.overlap_degree=" + std::to_string(kCopies),
                  "fssdp.memory_capacity=" + std::to_string(kCopies), "fssdp.reshard_every=2"});
  Held held;
  held.peak.resize(kRanks);
  std::mutex mutex;
  held.run = run_ranks(config, {.ranks = kRanks,
                                .ranks_per_node = 2,
                                .steps = 3,
                                .rate = 1e-3,
                                .finish = [&](Engine& engine) {
                                  const std::lock_guard lock(mutex);
                                  held.peak[static_cast<size_t>(engine.options().rank())] =
                                      engine.peak_bytes();
                                }});
  for (const auto& tensor : held.run.parameters) held.parameters += std::ssize(tensor);
  return held;
}

// For docs/sharding.md: one line per strategy, read by benchmarks/strategies/plot_memory.py.
void record(const std::string& label, const Held& held) {
  const char* path = std::getenv("HECATE_MEMORY_RECORDS");
  if (path == nullptr) return;
  nlohmann::ordered_json line = {{"label", label}, {"mean_total", held.over_ranks() / kRanks}};
  for (size_t i = 0; i < kMemoryCategories; ++i)
    line["peak_bytes"][std::string(name_of(static_cast<MemoryCategory>(i)))] = held.fullest()[i];
  line["total"] = total(held.fullest());
  std::ofstream(path, std::ios::app) << line.dump() << '\n';
}

// One run of each: they take a second or more.
const Held& held(const std::string& strategy, int depth = 1) {
  static std::map<std::pair<std::string, int>, Held> runs;
  const auto found = runs.find({strategy, depth});
  if (found != runs.end()) return found->second;
  const Held& made = runs.emplace(std::pair(strategy, depth), hold(strategy, depth)).first->second;
  record(strategy + (depth == 1 ? "" : ", depth " + std::to_string(depth)), made);
  return made;
}

double ratio(int64_t a, int64_t b) {
  return static_cast<double>(a) / static_cast<double>(b);
}

TEST(MemoryTest, RematerializationHoldsATwelfthOfTheCopies) {
  const auto copies = [](const Held& run) { return run.over_ranks(MemoryCategory::materialized); };
  const int64_t kept = copies(held("fssdp"));
  ASSERT_GT(kept, 0);
  EXPECT_LE(ratio(copies(held("fssdp-rm")), kept), 1 - 0.91);
  EXPECT_LE(ratio(copies(held("fssdp-rm", 0)), kept), 1 - 0.95);
  EXPECT_EQ(copies(held("ep")), 0);
}

TEST(MemoryTest, RematerializationCostsLittleOverExpertParallelism) {
  const Held& ep = held("ep");
  for (int depth : {0, 1}) {
    const Held& rm = held("fssdp-rm", depth);
    EXPECT_LE(ratio(total(rm.fullest()), total(ep.fullest())), 1.116) << "fullest rank, " << depth;
    // Owners move in this run, and moments that arrive are held aside until all of them are there
    // (category buffers): that comes on top, on every rank.
    const int64_t arriving = rm.over_ranks(MemoryCategory::buffers);
    EXPECT_GT(arriving, 0);
    EXPECT_LE(ratio(rm.over_ranks() - arriving, ep.over_ranks()), 1.116) << "all ranks, " << depth;
    EXPECT_LE(ratio(rm.over_ranks(), ep.over_ranks()), 1.13) << "all ranks, " << depth;
  }
}

// Both moments of every parameter, and its master, which is the value that its owner trains.
TEST(MemoryTest, OptimizerStateExistsOnce) {
  for (const char* strategy : {"ep", "fssdp", "fssdp-rm"}) {
    const Held& run = held(strategy);
    EXPECT_EQ(run.over_ranks(MemoryCategory::optimizer),
              2 * static_cast<int64_t>(sizeof(Real)) * run.parameters)
        << strategy;
    for (const auto& tensor : run.run.copies)
      EXPECT_TRUE(std::ranges::all_of(tensor, [](int copies) { return copies == 1; })) << strategy;
  }
}

}  // namespace
}  // namespace hecate::launcher
