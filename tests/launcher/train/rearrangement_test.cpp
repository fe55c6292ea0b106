#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <mutex>

#include "models/sharded_storage.h"
#include "tests/launcher/train/rank_comparison.h"

/// What the strategies of other systems hold and move, and that replicas stay alike.
namespace hecate::launcher {
namespace {

using collectives::Placement;
using collectives::TrafficKind;
using sharding::exec::ExpertStore;

constexpr int kRanks = 4;
constexpr int64_t kReal = sizeof(Real);

/// What a rank's store holds of one chunk: values and both moments.
using State = std::vector<Real>;
using Key = std::pair<int64_t, int64_t>;  // layer, expert

class RearrangementTest : public testing::Test {
 protected:
  static RankCase case_of(const std::string& strategy, std::vector<std::string> settings = {}) {
    settings.insert(settings.end(), {"strategy=" + strategy, "model.layers=3", "rearrange.every=2",
                                     "fssdp.expert_gflops=1e-4", "fssdp.sparse_algorithm=direct"});
    return {.name = strategy,
            .ranks = kRanks,
            .ranks_per_node = 2,
            .micro_batches = 2,
            .settings = std::move(settings)};
  }

  RankResult run(const RankCase& test, int64_t steps) {
    chunk_bytes_ = 0;
    return run_ranks(case_config(run_, test, test.ranks),
                     {.ranks = test.ranks,
                      .ranks_per_node = test.ranks_per_node,
                      .steps = steps,
                      .rate = 1e-3,
                      .after_step = [&](Engine& engine, int64_t) { keep_moves(engine); },
                      .finish = [&](Engine& engine) { keep(engine); }});
  }

  void keep_moves(Engine& engine) {
    const std::lock_guard lock(mutex_);
    sharding::exec::Materializer& plans = engine.sharded()->training().experts->materializer();
    const ExpertStore& store = engine.sharded()->training().experts->store();
    placements_.clear();
    for (int64_t l = 0; l < store.chunks().layers; ++l) placements_.push_back(plans.placement(l));
  }

  void keep(Engine& engine) {
    const std::lock_guard lock(mutex_);
    const ExpertStore& store = engine.sharded()->training().experts->store();
    chunk_bytes_ = store.chunks().elements * kReal;
    chunks_ = store.chunks().count();
    for (int64_t l = 0; l < store.chunks().layers; ++l)
      for (int64_t e = 0; e < store.chunks().experts; ++e) {
        if (!store.resides(l, e)) continue;
        const sharding::exec::OwnedChunk chunk = store.chunk(l, e);
        State state;
        for (const Real* array : {chunk.own_value, chunk.first_moment, chunk.second_moment})
          state.insert(state.end(), array, array + store.slice().size());
        states_[{l, e}].push_back(std::move(state));
      }
  }

  int64_t copies() const {
    int64_t sum = 0;
    for (const Placement& layer : placements_)
      for (int e = 0; e < layer.experts(); ++e) sum += std::ssize(layer.holders(e)) - 1;
    return sum;
  }
  static int64_t sent(const RankResult& result, TrafficKind kind) {
    return result.last.front().traffic.sent_bytes[static_cast<size_t>(kind)];
  }
  static int64_t peaks(const RankResult& result, MemoryCategory category) {
    int64_t sum = 0;
    for (const MemoryBytes& rank : result.peak) sum += rank[static_cast<size_t>(category)];
    return sum;
  }
  // Of both moments of dense parameters, over all ranks.
  int64_t dense_moments(const RankCase& test) const {
    return 2 * kReal *
           models::ParameterLayout(case_config(run_, test, test.ranks).model).dense_elements();
  }

  TinyRun run_;
  std::mutex mutex_;
  std::map<Key, std::vector<State>> states_;
  std::vector<Placement> placements_;  // of the last step
  int64_t chunk_bytes_ = 0, chunks_ = 0;
};

TEST_F(RearrangementTest, ReplicasStayEqualToTheLastBit) {
  for (const char* strategy : {"eplb", "flexmoe"}) {
    SCOPED_TRACE(strategy);
    states_.clear();
    run(case_of(strategy), 6);
    size_t replicas = 0;
    for (const auto& [key, states] : states_)
      for (const State& state : states) {
        EXPECT_TRUE(state == states.front()) << "layer " << key.first << ", expert " << key.second;
        ++replicas;
      }
    EXPECT_EQ(std::ssize(states_), chunks_);
    EXPECT_GT(replicas, states_.size());
  }
}

TEST_F(RearrangementTest, ReplicasCostTheirStateAndTwoTripsOfTheirGradients) {
  for (const char* strategy : {"eplb", "flexmoe"}) {
    SCOPED_TRACE(strategy);
    const RankCase test = case_of(strategy);
    const RankResult result = run(test, 5);
    ASSERT_GT(copies(), 0);
    EXPECT_EQ(sent(result, TrafficKind::sparse_reduce), copies() * chunk_bytes_);
    EXPECT_EQ(sent(result, TrafficKind::sparse_gather), copies() * chunk_bytes_);
    // Room for ceil(6 / 4) + 2 of 6 experts in each of 3 layers.
    EXPECT_EQ(peaks(result, MemoryCategory::optimizer),
              dense_moments(test) + int64_t{kRanks} * 3 * 4 * 2 * chunk_bytes_);
    EXPECT_EQ(peaks(result, MemoryCategory::materialized), 0);
  }
}

TEST_F(RearrangementTest, MovedStateIsCounted) {
  for (const char* strategy : {"smartmoe", "eplb"}) {
    const RankResult result = run(case_of(strategy), 2);  // rearranged after the second
    const sharding::exec::ReshardReport& moved = result.last.front().sharded.reshard;
    EXPECT_GT(moved.moves, 0) << strategy;
    EXPECT_EQ(moved.bytes_moved, moved.moves * 3 * chunk_bytes_) << strategy;
    int64_t bytes = 0;
    for (const StepResult& rank : result.last) bytes += rank.sharded.reshard.bytes_sent;
    EXPECT_EQ(bytes, moved.bytes_moved) << strategy;
    EXPECT_GE(sent(result, TrafficKind::other), bytes) << strategy;
  }
}

TEST_F(RearrangementTest, ShadowsTravelOnceAndTheirGradientsBack) {
  const RankResult result = run(case_of("fastermoe"), 1);
  EXPECT_EQ(result.calibration.copies, copies());
  ASSERT_GT(copies(), 0);
  for (const Placement& layer : placements_)
    for (int e = 0; e < layer.experts(); ++e)
      EXPECT_TRUE(layer.holders(e).size() == 1 || layer.holders(e).size() == kRanks);
  EXPECT_EQ(sent(result, TrafficKind::sparse_gather), copies() * chunk_bytes_);
  EXPECT_EQ(sent(result, TrafficKind::sparse_reduce), copies() * chunk_bytes_);
}

TEST_F(RearrangementTest, SlicedExpertsAreRestoredForEveryPass) {
  const RankCase test = case_of("laer", {"fssdp.prefetch_depth=0"});
  const RankResult result = run(test, 3);
  // Every holder gets all slices but its own.
  const sharding::exec::ElementRange whole{0, chunk_bytes_ / kReal};
  const auto restored = [&](const Placement& layer) {
    int64_t bytes = 0;
    for (int e = 0; e < layer.experts(); ++e)
      for (int holder : layer.holders(e))
        bytes += chunk_bytes_ - kReal * part_of(whole, holder, kRanks).size();
    return bytes;
  };
  int64_t gathered = 0, reduced = 0;
  for (size_t l = 0; l < placements_.size(); ++l) {
    // Twice in both micro-batches, but for the last layer, which backward begins with.
    gathered += 2 * (l + 1 < placements_.size() ? 2 : 1) * restored(placements_[l]);
    reduced += 2 * restored(placements_[l]);
  }
  EXPECT_EQ(sent(result, TrafficKind::sparse_gather), gathered);
  EXPECT_EQ(sent(result, TrafficKind::sparse_reduce), reduced);
  EXPECT_EQ(peaks(result, MemoryCategory::optimizer),
            dense_moments(test) + 2 * chunks_ * chunk_bytes_);
  // One ring of ceil(6 / 4) + 2 experts.
  EXPECT_EQ(peaks(result, MemoryCategory::materialized), int64_t{kRanks} * 4 * chunk_bytes_);
}

}  // namespace
}  // namespace hecate::launcher
