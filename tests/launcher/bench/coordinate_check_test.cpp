#include "launcher/bench/coordinate_check.h"

#include <gtest/gtest.h>

#include <cmath>

#include "launcher/bench/coordinate_plot.h"

namespace hecate::launcher {
namespace {

constexpr std::array kAll = {Coordinate::embedding, Coordinate::attention, Coordinate::experts,
                             Coordinate::logits};

CoordinateOptions small() {
  CoordinateOptions options;
  options.model.vocabulary = 16;
  options.model.sequence = 32;
  options.model.layers = 2;
  options.model.d_model = 64;
  options.model.heads = 4;
  options.model.experts = 4;
  options.model.expert_hidden = 64;
  options.seeds = 2;
  options.sequences = 2;
  options.widths = {1, 2, 4};
  return options;
}

void expect_flat(const CoordinateOptions& options) {
  const CoordinateCheck check = check_coordinates(options);
  for (const Coordinate coordinate : kAll)
    EXPECT_LT(std::abs(check.worst_growth(coordinate)), 0.25) << name_of(coordinate);
}

TEST(CoordinateCheck, ActivationsKeepTheirSizeOnlyWithMup) {
  CoordinateOptions options = small();
  expect_flat(options);
  options.mup = false;
  const CoordinateCheck without = check_coordinates(options);
  for (const Coordinate coordinate :
       {Coordinate::attention, Coordinate::experts, Coordinate::logits})
    EXPECT_GT(without.worst_growth(coordinate), 0.5) << name_of(coordinate);
}

TEST(CoordinateCheck, HoldsForLatentAttentionSharedExpertsAndAHeadOfItsOwn) {
  CoordinateOptions options = small();
  options.model.attention = "latent";
  options.model.kv_lora_rank = 16;
  options.model.nope_dim = 12;
  options.model.rope_dim = 4;
  options.model.v_dim = 16;
  options.model.shared_experts = 1;
  options.model.gate = "sigmoid_bias";
  options.model.tied_head = false;
  expect_flat(options);
}

TEST(CoordinateCheck, HoldsForExpertsOfOneSize) {
  CoordinateOptions options = small();
  options.wide_experts = false;
  options.model.tied_head = false;
  expect_flat(options);
}

TEST(CoordinateCheck, GrowthIsTheSlopeBetweenLogarithms) {
  CoordinateCheck check{.widths = {1, 2, 4}, .values = {}};
  check.values[1] = {{3, 1}, {6, 1}, {12, 0.5}};
  EXPECT_NEAR(check.growth(Coordinate::attention, 0), 1, 1e-12);
  EXPECT_NEAR(check.growth(Coordinate::attention, 1), -0.5, 1e-12);
  EXPECT_NEAR(check.worst_growth(Coordinate::attention), 1, 1e-12);
}

TEST(CoordinatePlot, HasAPanelForEachCoordinateAndALineForEachStep) {
  CoordinateCheck check{.widths = {1, 2}, .values = {}};
  for (auto& values : check.values) values = {{1, 2, 3}, {2, 3, 4}};
  const std::string svg = coordinate_plot(check, check);
  const auto count = [&](const std::string& what) {
    size_t found = 0;
    for (size_t at = svg.find(what); at != std::string::npos; at = svg.find(what, at + 1)) ++found;
    return found;
  };
  EXPECT_EQ(count("<g "), 8);
  EXPECT_EQ(count("<polyline"), 24);
}

}  // namespace
}  // namespace hecate::launcher
