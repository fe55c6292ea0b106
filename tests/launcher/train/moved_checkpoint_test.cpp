#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "launcher/checkpoint/directory.h"
#include "launcher/train/training_state.h"
#include "tests/launcher/train/rank_comparison.h"
#include "tests/launcher/train/saved_ranks.h"
#include "tests/runtime/io/scratch.h"

/// Checkpoints go from any number of ranks and any strategy to any other.
namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;
using hecate::testing::message_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kLegSteps = 3;
constexpr double kLossTolerance = sizeof(Real) == 8 ? 1e-10 : 1e-4;

struct Leg {
  int ranks;
  std::vector<std::string> settings;
};

RankCase case_of(const Leg& leg) {
  RankCase test{.name = "leg",
                .ranks = leg.ranks,
                .ranks_per_node = leg.ranks % 2 == 0 ? 2 : 0,
                .settings = {"model.layers=3", "model.gate=sigmoid_bias", "fssdp.reshard_every=2"}};
  test.settings.insert(test.settings.end(), leg.settings.begin(), leg.settings.end());
  return test;
}

struct Journey {
  std::string name;
  std::vector<Leg> legs;
};

class CheckpointsTest : public ::testing::Test {
 protected:
  CheckpointsTest() { fs::create_directories(checkpoints()); }

  fs::path checkpoints() const { return run_.root() / "checkpoints"; }
  fs::path checkpoint_of(int64_t step) const { return checkpoints() / checkpoint::step_name(step); }

  // Continues from the checkpoint of `first`, unless it is 0, and saves at the end.
  RankResult travel(const Leg& leg, int64_t first, WholeState& begin, WholeState& end) const {
    const RankCase test = case_of(leg);
    return run_ranks(case_config(run_, test, test.ranks),
                     {.ranks = test.ranks,
                      .ranks_per_node = test.ranks_per_node,
                      .first_step = first,
                      .steps = kLegSteps,
                      .rate = 1e-3,
                      .prepare =
                          [&](Engine& engine) {
                            if (first > 0)
                              restore(engine, checkpoint::Checkpoint(checkpoint_of(first)));
                            begin.take(engine);
                          },
                      .finish =
                          [&](Engine& engine) {
                            end.take(engine);
                            save_ranks(engine, checkpoints(), first + kLegSteps);
                          }});
  }

  TinyRun run_;
};

class JourneyTest : public CheckpointsTest, public ::testing::WithParamInterface<Journey> {};

TEST_P(JourneyTest, KeepsEveryTensorAndTrainsOnAsIfItHadStayed) {
  const std::vector<Leg>& legs = GetParam().legs;
  const RunConfig config = case_config(run_, case_of({1, {}}), 1);
  const models::ParameterLayout layout(config.model);
  const RankResult stayed =
      run_ranks(config, {.steps = kLegSteps * std::ssize(legs), .rate = 1e-3});
  std::vector<double> losses;
  WholeState saved;
  int64_t step = 0;
  for (const Leg& leg : legs) {
    SCOPED_TRACE(concat("from step ", step, " on ", leg.ranks, " ranks"));
    WholeState begin, end;
    const RankResult result = travel(leg, step, begin, end);
    EXPECT_TRUE(step == 0 || begin == saved);
    step += kLegSteps;
    saved.read(checkpoint::Checkpoint(checkpoint_of(step)), layout);
    EXPECT_TRUE(end == saved);
    EXPECT_FALSE(begin == end);
    losses.insert(losses.end(), result.losses.begin(), result.losses.end());
  }
  ASSERT_EQ(losses.size(), stayed.losses.size());
  for (size_t i = 0; i < losses.size(); ++i)
    EXPECT_NEAR(losses[i], stayed.losses[i], kLossTolerance * stayed.losses[i]) << "step " << i;
}

INSTANTIATE_TEST_SUITE_P(
    Of, JourneyTest,
    ::testing::Values(Journey{"one_four_one", {{1, {}}, {4, {"strategy=fssdp"}}, {1, {}}}},
                      Journey{"three_two", {{3, {"strategy=fssdp-rm"}}, {2, {"strategy=fssdp"}}}},
                      Journey{"all_strategies",
                              {{3, {"strategy=ep", "fssdp.dense=zero3"}},
                               {2, {"strategy=fssdp"}},
                               {4, {"strategy=fsdp", "fssdp.dense=zero3"}},
                               {3, {"strategy=fssdp-rm"}},
                               {1, {}}}},
                      Journey{"same_ranks_other_strategies",
                              {{4, {"strategy=ep"}},
                               {4, {"strategy=fssdp"}},
                               {4, {"strategy=fsdp"}},
                               {4, {"strategy=fssdp-rm", "fssdp.dense=zero3"}},
                               {4, {"strategy=ep"}}}},
                      Journey{"other_systems",
                              {{3, {"strategy=laer", "fssdp.expert_gflops=1"}},
                               {4, {"strategy=eplb", "rearrange.every=2"}},
                               {4, {"strategy=flexmoe", "fssdp.expert_gflops=1e-4"}},
                               {4, {"strategy=smartmoe", "rearrange.every=2"}},
                               {2, {"strategy=fssdp"}}}},
                      Journey{"through_domains",
                              {{2, {"strategy=fssdp"}},
                               {8, {"strategy=fssdp-rm", "fssdp.domain=node"}},
                               {4, {"strategy=ep", "fssdp.domain=2", "fssdp.dense=zero3"}},
                               {3, {"strategy=fssdp", "fssdp.domain=1"}}}}),
    [](const auto& test) { return test.param.name; });

/// Steps 3 and 6 by three ranks; the newer one is damaged, then two ranks ask for it.
class DamagedShardsTest : public CheckpointsTest {
 protected:
  void SetUp() override {
    for (int64_t step = 0; step < 2 * kLegSteps; step += kLegSteps) {
      WholeState begin, end;
      travel({3, {"strategy=fssdp"}}, step, begin, end);
    }
    ASSERT_EQ(newest(), 2 * kLegSteps);
  }
  int64_t newest() const { return checkpoint::find_latest(checkpoints()).checkpoint->step; }
  fs::path shard(int64_t step, int rank) const {
    return checkpoint_of(step) / concat("rank-000", rank, ".safetensors");
  }
  template <class Exception>
  std::string refusal() const {
    const RankCase test = case_of({2, {"strategy=ep"}});
    return message_of<Exception>([&] {
      run_ranks(case_config(run_, test, 2),
                {.ranks = 2, .steps = 0, .prepare = [&](Engine& engine) {
                   restore(engine, checkpoint::Checkpoint(checkpoint_of(2 * kLegSteps)));
                 }});
    });
  }
};

TEST_F(DamagedShardsTest, TheMissingOneIsNamed) {
  fs::remove(shard(6, 1));
  EXPECT_THAT(refusal<IoError>(), HasSubstr("step-00000006/rank-0001.safetensors: missing"));
  EXPECT_THAT(checkpoint::find_latest(checkpoints()).warnings,
              ElementsAre(AllOf(HasSubstr("step-00000006 skipped"),
                                HasSubstr("rank-0001.safetensors: missing"))));
  EXPECT_EQ(newest(), 3);
}

TEST_F(DamagedShardsTest, TheOneOfAnotherStepIsNamed) {
  fs::copy_file(shard(3, 2), shard(6, 2), fs::copy_options::overwrite_existing);
  EXPECT_THAT(refusal<InvalidArgument>(),
              AllOf(HasSubstr("rank-0002.safetensors"), HasSubstr("mixed")));
  EXPECT_THAT(checkpoint::find_latest(checkpoints()).warnings,
              ElementsAre(AllOf(HasSubstr("step-00000006 skipped"),
                                HasSubstr("rank-0002.safetensors: of step 3"))));
  EXPECT_EQ(newest(), 3);
}

}  // namespace
}  // namespace hecate::launcher
