#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

#include "scheduler/population/exploit.h"
#include "scheduler/population/search_space.h"

// The toy of arXiv:1711.09846, figure 2: maximise Q = 1.2 - (a^2 + b^2) where each of two workers
// sees only the surrogate 1.2 - (h0 a^2 + h1 b^2), by gradient ascent of rate 0.01.
namespace hecate::population {
namespace {

constexpr int kSteps = 200, kInterval = 5;

struct Worker {
  std::array<double, 2> theta = {0.9, 0.9};
  Point h;
};

double quality(const Worker& worker) {
  return 1.2 - (worker.theta[0] * worker.theta[0] + worker.theta[1] * worker.theta[1]);
}

PopulationConfig config(const std::string& exploit, const std::string& explore) {
  PopulationConfig config;
  config.mode = "max";
  config.exploit = exploit;
  config.explore = explore;
  config.quantile = 0.5;
  for (const char* key : {"h0", "h1"}) {
    DimensionConfig dimension;
    dimension.key = key;
    dimension.kind = "uniform";
    dimension.min = -1e6;
    dimension.max = 1e6;
    dimension.scale = 0.1;
    config.search.push_back(dimension);
  }
  return config;
}

struct Moves {
  std::string exploit = "none", explore = "perturb";
  bool copies_h = false, explores = false;
};

// Best quality after every step.
std::vector<double> run(const Moves& moves, uint64_t seed = 0) {
  const PopulationConfig rules = config(moves.exploit, moves.explore);
  const SearchSpace space(rules.search);
  std::array<Worker, 2> workers;
  workers[0].h = {1, 0};
  workers[1].h = {0, 1};
  std::vector<double> best;
  for (int step = 1; step <= kSteps; ++step) {
    for (Worker& worker : workers)
      for (size_t i = 0; i < 2; ++i) worker.theta[i] -= 0.01 * 2 * worker.h[i] * worker.theta[i];
    if (step % kInterval == 0) {
      const std::array<Worker, 2> before = workers;
      std::vector<Standing> standings(2);
      for (size_t w = 0; w < 2; ++w)
        standings[w] = Standing{.scores = {quality(before[w])}, .donor = true};
      for (size_t w = 0; w < 2; ++w) {
        Draws draws(seed, static_cast<uint64_t>(step) * 2 + w);
        if (const auto donor = choose_donor(rules, standings, w, draws)) {
          workers[w].theta = before[*donor].theta;
          if (moves.copies_h) workers[w].h = before[*donor].h;
        }
        if (moves.explores) workers[w].h = space.explore(workers[w].h, rules, draws);
      }
    }
    best.push_back(std::max(quality(workers[0]), quality(workers[1])));
  }
  return best;
}

std::vector<double> sorted_results(const Moves& moves, int seeds) {
  std::vector<double> results;
  for (int seed = 0; seed < seeds; ++seed)
    results.push_back(run(moves, static_cast<uint64_t>(seed)).back());
  std::ranges::sort(results);
  return results;
}

TEST(PopulationToy, ExploitAloneGivesThePublishedCurve) {
  const std::vector<double> best = run({.exploit = "truncation"});
  const std::vector<std::pair<size_t, double>> expected = {{1, -0.3879240000},
                                                           {10, -0.1236579472},
                                                           {50, 0.6100451183},
                                                           {100, 0.9851563195},
                                                           {200, 1.1715075265}};
  for (const auto& [step, value] : expected)
    EXPECT_NEAR(best[step - 1], value, 1e-9) << "step " << step;
}

TEST(PopulationToy, WithoutExploitBothWorkersStayOnTheirAxis) {
  EXPECT_NEAR(run({}).back(), 0.3897494379, 1e-9);
}

TEST(PopulationToy, ExploitAndAdditiveExploreComeNearTheOptimum) {
  const std::vector<double> results = sorted_results(
      {.exploit = "truncation", .explore = "additive", .copies_h = true, .explores = true}, 1000);
  EXPECT_NEAR(results[500], 1.1997, 2e-4);
  EXPECT_NEAR(results[50], 1.191, 5e-3);  // from one 1000 seeds to the next: 1.188 to 1.192
}

TEST(PopulationToy, MultiplyingAloneLeavesZerosWhereTheyAre) {
  const std::vector<double> results = sorted_results({.explores = true}, 200);
  EXPECT_LE(results.back(), 0.39);
  EXPECT_NEAR(results[100], 0.390, 1e-3);
}

}  // namespace
}  // namespace hecate::population
