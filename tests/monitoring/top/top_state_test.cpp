#include "monitoring/top/top_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hecate::monitoring {
namespace {

using ::testing::ElementsAre;

TEST(TopStateTest, ScrapesAndStepLogsSayTheSame) {
  TopState scraped, logged;
  take_samples(parse_exposition(
                   "hecate_steps_total 7\nhecate_loss 2.5\n"
                   "hecate_tokens_per_second 900\nhecate_step_seconds 0.5\n"
                   "hecate_expert_load_max_ratio{layer=\"3\"} 2\n"
                   "hecate_device_imbalance_ratio{layer=\"3\",placement=\"owners\"} 3\n"
                   "hecate_device_imbalance_ratio{layer=\"3\",placement=\"materialized\"} 1.25\n"
                   "hecate_rank_compute_seconds{rank=\"0\"} 0.2\n"
                   "hecate_rank_compute_seconds{rank=\"1\"} 0.3\n"
                   "hecate_heartbeat_timestamp_seconds{rank=\"0\"} 90\n"
                   "hecate_heartbeat_timestamp_seconds{rank=\"1\"} 97\n"),
               100, scraped);
  take_columns({{"step", 7},
                {"time", 90},
                {"loss", 2.5},
                {"tokens_per_s", 900},
                {"step_seconds", 0.5},
                {"load.3.max_over_mean", 2},
                {"sharded.layers.3.imbalance_at_owners", 3},
                {"sharded.layers.3.imbalance", 1.25},
                {"ranks.compute_seconds.0", 0.2},
                {"ranks.compute_seconds.1", 0.3}},
               100, logged);
  for (const TopState* state : {&scraped, &logged}) {
    EXPECT_EQ(state->step, 7);
    EXPECT_EQ(state->loss, 2.5);
    EXPECT_EQ(state->step_seconds, 0.5);
    EXPECT_EQ(state->layers.at(3).max_over_mean, 2);
    EXPECT_EQ(state->layers.at(3).imbalance_at_owners, 3);
    EXPECT_EQ(state->layers.at(3).imbalance, 1.25);
    EXPECT_EQ(state->ranks.at(1).compute_seconds, 0.3);
    EXPECT_EQ(state->slowest_rank, 1) << "found where nobody says it";
    EXPECT_EQ(state->age_seconds, 10) << "of the rank that is longest silent";
    EXPECT_THAT(state->losses, ElementsAre(2.5));
    EXPECT_THAT(state->speeds, ElementsAre(900));
  }
}

TEST(TopStateTest, TheFirstExporterThatHasAValueIsTaken) {
  TopState state;
  take_samples(parse_exposition("hecate_loss 1\nhecate_loss 2\nhecate_other{layer=\"x\"} 1\n"), 0,
               state);
  EXPECT_EQ(state.loss, 1);
  EXPECT_TRUE(std::isnan(state.step));
  EXPECT_TRUE(state.losses.empty()) << "no step, no history";
}

TEST(TopStateTest, AStepCountsOnceAndAResumedRunDropsLaterOnes) {
  TopState state;
  for (const double step : {1, 2, 2, 3, 4})
    take_columns({{"step", step}, {"loss", 10 * step}}, 0, state);
  EXPECT_THAT(state.losses, ElementsAre(10, 20, 30, 40));
  take_columns({{"step", 3}, {"loss", 33}}, 0, state);
  EXPECT_THAT(state.losses, ElementsAre(10, 20, 33));
}

TEST(TopStateTest, HistoriesAreBounded) {
  TopState state;
  const auto most = static_cast<int>(TopState::kMostHistory);
  for (int step = 1; step <= most + 10; ++step)
    take_columns({{"step", step}, {"loss", step}}, 0, state);
  EXPECT_EQ(state.losses.size(), TopState::kMostHistory);
  EXPECT_EQ(state.losses.front(), 11);
}

}  // namespace
}  // namespace hecate::monitoring
