#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <ranges>

#include "models/sharded_storage.h"
#include "tests/launcher/train/rank_comparison.h"

namespace hecate::launcher {
namespace {

class ZeroTest : public testing::TestWithParam<RankCase> {
 protected:
  TinyRun run_;
};

TEST_P(ZeroTest, TrainsAsOneProcess) {
  expect_same_training(run_, GetParam());
}

RankCase zero3(std::string name, int ranks, int64_t micro_batches,
               std::vector<std::string> settings) {
  settings.push_back("fssdp.dense=zero3");
  return {.name = std::move(name),
          .ranks = ranks,
          .ranks_per_node = ranks > 2 ? 2 : 0,
          .micro_batches = micro_batches,
          .settings = std::move(settings)};
}

// Five layers in two rings: the last layers stay from forward to backward, the others do not.
INSTANTIATE_TEST_SUITE_P(
    Dense, ZeroTest,
    testing::Values(
        zero3("ep", 3, 1, {"strategy=ep", "model.layers=5"}),
        zero3("fsdp", 4, 3, {"strategy=fsdp", "model.layers=5"}),
        zero3("fssdp", 4, 3, {"strategy=fssdp", "fssdp.reshard_every=2", "model.layers=5"}),
        zero3("fssdprm", 4, 3, {"strategy=fssdp-rm", "model.layers=5"}),
        zero3("capacity", 8, 3, {"strategy=fssdp", "router.capacity_factor=0.7"}),
        zero3("own_head", 4, 3, {"strategy=ep", "model.layers=5", "model.tied_head=false"}),
        zero3("one_ring", 2, 3, {"strategy=ep", "model.layers=5", "fssdp.prefetch_depth=0"}),
        zero3("more_rings_than_layers", 2, 3, {"strategy=ep", "fssdp.prefetch_depth=9"}),
        zero3("one_layer", 2, 3, {"strategy=ep", "model.layers=1", "model.tied_head=false"}),
        zero3("latent", 2, 3,
              {"strategy=fssdp", "model.layers=3", "model.attention=latent",
               "model.gate=sigmoid_bias", "model.shared_experts=1", "model.kv_lora_rank=16",
               "model.nope_dim=8", "model.rope_dim=8", "model.v_dim=8"}),
        zero3("hypergradient", 3, 3,
              {"strategy=fssdp", "model.layers=3", "optimizer.hypergradient.enabled=true",
               "optimizer.hypergradient.strength=0.3"}),
        zero3("mup", 4, 3,
              {"strategy=fssdp", "model.layers=3", "model.attention=latent",
               "model.shared_experts=1", "model.kv_lora_rank=16", "model.nope_dim=8",
               "model.rope_dim=8", "model.v_dim=8", "model.tied_head=false",
               "model.mup.enabled=true", "model.mup.zero_head=false", "model.mup.base.d_model=16",
               "model.mup.base.expert_hidden=16", "model.mup.base.kv_lora_rank=4"}),
        zero3("recompute", 2, 3,
              {"strategy=fssdp-rm", "model.layers=3", "model.recompute=all", "model.norm=layer",
               "model.positions=learned", "model.qk_norm=head"})),
    [](const auto& test) { return test.param.name; });

int64_t bytes(int64_t elements) {
  return elements * static_cast<int64_t>(sizeof(Real));
}

int64_t peak(const MemoryBytes& bytes, MemoryCategory category) {
  return bytes[static_cast<size_t>(category)];
}

int64_t sum_of_peaks(const RankResult& result, MemoryCategory category) {
  return std::accumulate(
      result.peak.begin(), result.peak.end(), int64_t{0},
      [&](int64_t sum, const MemoryBytes& rank) { return sum + peak(rank, category); });
}

/// Four ranks; one expert of six layers each is owned by every rank, so nothing is left over.
class ZeroMemoryTest : public testing::TestWithParam<bool> {
 protected:
  RankCase test(const std::string& stage) const {
    return {.name = stage,
            .ranks = 4,
            .ranks_per_node = 2,
            .micro_batches = 3,
            .settings = {"strategy=fssdp-rm", "fssdp.dense=" + stage, "model.layers=6",
                         "model.experts=8",
                         std::string("model.tied_head=") + (GetParam() ? "true" : "false")}};
  }
  struct Sizes {
    int64_t dense = 0, ends = 0, layer = 0, chunk = 0;  // elements
  };
  Sizes sizes() const {
    const RunConfig config = case_config(run_, test("zero3"), 4);
    const models::ParameterLayout layout(config.model);
    const auto buckets = models::dense_buckets(layout, config.model.layers).ranges;
    const int64_t first = buckets.front().size(), last = buckets.back().size();
    return {.dense = layout.dense_elements(),
            .ends = GetParam() ? first + last : std::max(first, last),
            .layer = buckets[1].size(),
            .chunk = models::expert_chunks(layout).elements};
  }
  TinyRun run_;
};

TEST_P(ZeroMemoryTest, EveryElementHasOneOwner) {
  for (const char* stage : {"zero1", "zero3"}) {
    const RankResult result = run_case(run_, test(stage), 1);
    for (size_t id = 0; id < result.copies.size(); ++id)
      EXPECT_TRUE(std::ranges::all_of(result.copies[id], [](int count) { return count == 1; }))
          << stage << ", parameter " << id;
    EXPECT_EQ(sum_of_peaks(result, MemoryCategory::optimizer),
              2 * bytes(sizes().dense + 6 * 8 * sizes().chunk))
        << stage;
  }
}

TEST_P(ZeroMemoryTest, Zero1KeepsDenseParametersAndGradientsWhole) {
  const RankResult result = run_case(run_, test("zero1"), 1);
  const Sizes size = sizes();
  const int64_t expected = bytes(5 * size.dense + 6 * 8 * size.chunk);  // four whole and the slices
  EXPECT_EQ(sum_of_peaks(result, MemoryCategory::parameters), expected);
  const int64_t replicas = bytes(4 * 2 * 2 * size.chunk);  // ranks, rings, slots
  EXPECT_EQ(sum_of_peaks(result, MemoryCategory::gradients), expected + replicas);
  EXPECT_EQ(sum_of_peaks(result, MemoryCategory::materialized), replicas);
}

TEST_P(ZeroMemoryTest, Zero3KeepsSlicesAndTwoLayers) {
  const RankResult result = run_case(run_, test("zero3"), 1);
  const Sizes size = sizes();
  const int64_t owned = bytes(size.dense + 6 * 8 * size.chunk);
  const int64_t rings = 4 * bytes(size.ends + 2 * size.layer + 2 * 2 * size.chunk);
  EXPECT_EQ(sum_of_peaks(result, MemoryCategory::parameters), owned);
  EXPECT_EQ(sum_of_peaks(result, MemoryCategory::gradients), owned + rings);
  EXPECT_EQ(sum_of_peaks(result, MemoryCategory::materialized), rings);
}

INSTANTIATE_TEST_SUITE_P(Heads, ZeroMemoryTest, testing::Bool(),
                         [](const auto& test) { return test.param ? "tied" : "own"; });

// Evaluations come before the first step, between steps, and use the rings that steps use.
TEST(Zero3, EvaluatesAsOneProcess) {
  const TinyRun run;
  for (const char* tied : {"true", "false"}) {
    const RankCase test{.name = "evaluate",
                        .ranks = 2,
                        .micro_batches = 3,
                        .settings = {"fssdp.dense=zero3", "model.layers=5",
                                     std::string("model.tied_head=") + tied}};
    std::vector<double> losses[2];
    for (int ranks : {1, 2}) {
      const RunConfig config = case_config(run, test, ranks);
      const data::Validation validation(config.data, config.model.vocabulary,
                                        config.model.sequence);
      const auto evaluate = [&](Engine& engine) {
        const double loss = engine.evaluate(validation).loss;
        if (engine.options().rank() == 0) losses[ranks - 1].push_back(loss);
      };
      run_ranks(
          config,
          {.ranks = ranks, .steps = 2, .rate = 1e-3, .prepare = evaluate, .finish = evaluate});
    }
    ASSERT_EQ(losses[1].size(), 2);
    for (size_t i = 0; i < 2; ++i) EXPECT_NEAR(losses[1][i], losses[0][i], 1e-5) << tied;
    EXPECT_LT(losses[1][1], losses[1][0]);
  }
}

}  // namespace
}  // namespace hecate::launcher
