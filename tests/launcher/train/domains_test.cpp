#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>

#include "models/sharded_storage.h"
#include "tests/launcher/train/rank_comparison.h"

namespace hecate::launcher {
namespace {

bool each_once(const RankResult& result) {
  return std::ranges::all_of(result.copies, [](const std::vector<int>& elements) {
    return std::ranges::all_of(elements, [](int count) { return count == 1; });
  });
}

class DomainsTest : public testing::TestWithParam<RankCase> {
 protected:
  TinyRun run_;
};

TEST_P(DomainsTest, TrainAsOneProcess) {
  EXPECT_TRUE(each_once(expect_same_training(run_, GetParam())));
}

RankCase nodes(std::string name, int ranks, int64_t micro_batches,
               std::vector<std::string> settings) {
  settings.push_back("fssdp.domain=node");
  return {.name = std::move(name),
          .ranks = ranks,
          .ranks_per_node = 2,
          .micro_batches = micro_batches,
          .settings = std::move(settings)};
}

RankCase pairs_of_six(std::string name, int64_t micro_batches, std::vector<std::string> settings) {
  settings.push_back("fssdp.domain=2");
  return {.name = std::move(name),
          .ranks = 6,
          .ranks_per_node = 3,  // one domain lies on both nodes
          .micro_batches = micro_batches,
          .settings = std::move(settings)};
}

INSTANTIATE_TEST_SUITE_P(
    Strategies, DomainsTest,
    testing::Values(
        nodes("ep4", 4, 1, {"strategy=ep"}), nodes("fsdp4", 4, 3, {"strategy=fsdp"}),
        nodes("fssdp4", 4, 1, {"strategy=fssdp", "fssdp.reshard_every=2"}),
        nodes("fssdprm4", 4, 3, {"strategy=fssdp-rm", "fssdp.reshard_every=2"}),
        nodes("fssdp8", 8, 3,
              {"strategy=fssdp", "fssdp.reshard_every=2", "router.capacity_factor=0.7"}),
        nodes("fssdprm8", 8, 1,
              {"strategy=fssdp-rm", "router.capacity_factor=0.7", "model.layers=4"}),
        nodes("ep8", 8, 3, {"strategy=ep", "router.capacity_factor=0.7"}),
        nodes("batch_balance", 4, 1,
              {"strategy=fssdp", "router.balance_scope=batch", "router.balance_loss=0.1"}),
        nodes("router_bias", 4, 3, {"strategy=fssdp", "model.gate=sigmoid_bias"}),
        nodes("zero3", 8, 3, {"strategy=fssdp", "fssdp.dense=zero3", "model.layers=5"}),
        nodes("zero3rm", 4, 3,
              {"strategy=fssdp-rm", "fssdp.dense=zero3", "model.layers=5",
               "fssdp.reshard_every=2"}),
        nodes("smartmoe4", 4, 1, {"strategy=smartmoe", "rearrange.every=2"}),
        nodes("fastermoe4", 4, 3, {"strategy=fastermoe", "fssdp.expert_gflops=1e-4"}),
        nodes("flexmoe4", 4, 3,
              {"strategy=flexmoe", "fssdp.expert_gflops=1e-4", "rearrange.every=2"}),
        nodes("eplb4", 4, 1, {"strategy=eplb", "rearrange.every=2", "rearrange.slots=1"}),
        nodes("laer4", 4, 3, {"strategy=laer", "fssdp.expert_gflops=1e-4"}),
        pairs_of_six("fssdp6", 2, {"strategy=fssdp", "fssdp.reshard_every=2"}),
        pairs_of_six("fssdprm6", 4,
                     {"strategy=fssdp-rm", "fssdp.reshard_every=2", "router.capacity_factor=0.7"}),
        pairs_of_six("ep6", 1, {"strategy=ep", "fssdp.dense=zero3"}),
        RankCase{.name = "across_nodes",  // nodes 0 0 1 and 1 2 2
                 .ranks = 6,
                 .ranks_per_node = 2,
                 .micro_batches = 2,
                 .settings = {"strategy=fssdp", "fssdp.domain=3", "fssdp.reshard_every=2",
                              "model.experts=5", "model.layers=3"}},
        RankCase{.name = "of_one_rank",
                 .ranks = 3,
                 .micro_batches = 2,
                 .settings = {"strategy=fssdp", "fssdp.domain=1"}}),
    [](const auto& test) { return test.param.name; });

int64_t bytes(int64_t elements) {
  return elements * static_cast<int64_t>(sizeof(Real));
}

int64_t sum_of_peaks(const RankResult& result, MemoryCategory category) {
  int64_t sum = 0;
  for (const MemoryBytes& rank : result.peak) sum += rank[static_cast<size_t>(category)];
  return sum;
}

RankCase resharded() {
  return nodes("resharded", 8, 3, {"strategy=fssdp", "fssdp.reshard_every=2", "model.experts=8"});
}

TEST(Domains, ShareOneCopyOfTheOptimizerState) {
  const TinyRun run;
  const RankCase test = resharded();  // four domains of two ranks
  const RankResult result = run_case(run, test, 3);
  EXPECT_TRUE(each_once(result));
  const models::ParameterLayout layout(case_config(run, test, 8).model);
  const int64_t dense = layout.dense_elements();
  const int64_t experts = layout.elements() - dense;
  EXPECT_EQ(sum_of_peaks(result, MemoryCategory::optimizer), 2 * bytes(dense + experts));
  // Whole experts in each domain, slices of their masters in one of them.
  EXPECT_EQ(sum_of_peaks(result, MemoryCategory::parameters),
            bytes(8 * dense + dense + 4 * experts + experts));
}

void expect_owners_move_alike(const RankCase& test) {
  const TinyRun run;
  std::mutex mutex;
  std::vector<sharding::Ownership> before, after;
  const auto keep = [&](std::vector<sharding::Ownership>& owners) {
    return [&](Engine& engine) {
      const std::lock_guard lock(mutex);
      owners.push_back(engine.sharded()->owners());
    };
  };
  run_ranks(case_config(run, test, test.ranks), {.ranks = test.ranks,
                                                 .ranks_per_node = test.ranks_per_node,
                                                 .steps = 3,
                                                 .prepare = keep(before),
                                                 .finish = keep(after)});
  EXPECT_EQ(std::ranges::count(before, before.front()), test.ranks);
  EXPECT_EQ(std::ranges::count(after, after.front()), test.ranks);
  EXPECT_FALSE(before.front() == after.front());
}

TEST(Domains, MoveOwnersAlike) {
  expect_owners_move_alike(resharded());
}

TEST(Domains, MoveOwnersAlikeWhereverNodesEnd) {
  RankCase test = resharded();
  test.ranks = 12;
  test.ranks_per_node = 4;  // domains on nodes 0 0 0 0 1 1 and 0 0 1 1 1 1
  test.micro_batches = 2;
  test.settings.push_back("model.experts=9");
  test.settings.push_back("model.layers=4");
  test.settings.push_back("fssdp.domain=6");
  expect_owners_move_alike(test);
}

/// Values and moments of whole tensors, put together and taken apart through the ranks' pieces.
class Tensors {
 public:
  void take(Engine& engine) {
    const std::lock_guard lock(mutex_);
    placement_ = engine.sharded()->state();
    for_each(engine,
             [](Real* piece, Real* whole, int64_t size) { std::copy_n(piece, size, whole); });
  }
  void give(Engine& engine) {
    engine.restore_placement(placement_);
    const std::lock_guard lock(mutex_);
    for_each(engine,
             [](Real* piece, Real* whole, int64_t size) { std::copy_n(whole, size, piece); });
  }

 private:
  template <class Move>
  void for_each(Engine& engine, const Move& move) {
    for (const models::OwnedPiece& piece : engine.storage().pieces()) {
      const auto size = static_cast<size_t>(engine.layout().spec(piece.id).size());
      auto& arrays = arrays_[piece.id];
      int next = 0;
      for (Real* data : {piece.value, piece.first_moment, piece.second_moment}) {
        std::vector<Real>& whole = arrays[next++];
        whole.resize(size);
        move(data, whole.data() + piece.begin, piece.size);
      }
    }
  }

  std::mutex mutex_;
  ShardedModel::State placement_;
  std::map<models::ParameterId, std::array<std::vector<Real>, 3>> arrays_;
};

RankResult run_steps(const RunConfig& config, int ranks, int64_t first, int64_t steps,
                     const std::function<void(Engine&)>& prepare,
                     const std::function<void(Engine&)>& finish) {
  return run_ranks(config, {.ranks = ranks,
                            .ranks_per_node = 2,
                            .first_step = first,
                            .steps = steps,
                            .prepare = prepare,
                            .finish = finish});
}

TEST(Domains, ContinueBitForBitFromTheirPieces) {
  const TinyRun run;
  const RunConfig config = case_config(run, resharded(), 8);
  const auto nothing = [](Engine&) {};
  Tensors tensors;
  const RankResult whole = run_steps(config, 8, 0, 6, nothing, nothing);
  run_steps(config, 8, 0, 3, nothing, [&](Engine& engine) { tensors.take(engine); });
  const RankResult rest = run_steps(
      config, 8, 3, 3, [&](Engine& engine) { tensors.give(engine); }, nothing);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(rest.losses[i], whole.losses[3 + i]) << i;
  EXPECT_EQ(rest.parameters, whole.parameters);
}

TEST(Domains, ContinueInOtherDomains) {
  const TinyRun run;
  RankCase test = resharded();
  const auto nothing = [](Engine&) {};
  Tensors tensors;
  const RankResult whole = run_steps(case_config(run, test, 8), 8, 0, 4, nothing, nothing);
  run_steps(case_config(run, test, 8), 8, 0, 3, nothing,
            [&](Engine& engine) { tensors.take(engine); });
  for (const char* domain : {"all", "2", "1"}) {
    test.settings.back() = concat("fssdp.domain=", domain);
    const RankResult rest = run_steps(
        case_config(run, test, 4), 4, 3, 1, [&](Engine& engine) { tensors.give(engine); }, nothing);
    EXPECT_NEAR(rest.losses[0], whole.losses[3], 1e-5 * whole.losses[3]) << domain;
  }
}

TEST(Domains, OfAnotherSizeThanDividesAreRefused) {
  const TinyRun run;
  RankCase test = resharded();
  test.settings.back() = "fssdp.domain=3";
  EXPECT_THROW(run_case(run, test, 1), InvalidArgument);
}

}  // namespace
}  // namespace hecate::launcher
