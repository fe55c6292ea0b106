#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <mutex>
#include <numeric>

#include "launcher/simulate/load_source.h"
#include "launcher/simulate/report.h"
#include "launcher/train/prediction.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "runtime/io/npy.h"
#include "sharding/strategy.h"
#include "tests/launcher/train/rank_run.h"
#include "tests/launcher/train/tiny_run.h"

namespace hecate::launcher {
namespace {

using testing::HasSubstr;

// A cluster on which nothing but products takes time.
ClusterProfile compute_only(double gflops) {
  ClusterProfile profile;
  profile.device.tflops = 1e-3 * gflops;
  profile.device.memory_gb_per_s = 1e6;
  profile.links.devices_per_node = 2;
  profile.links.inside_gb_per_s = 1e6;
  profile.links.inside_latency_us = 0;
  profile.links.between_gb_per_s = 1e6;
  profile.links.between_latency_us = 0;
  return profile;
}

class SimulateTest : public testing::Test {
 protected:
  SimulationOptions options(const std::string& strategy, const std::string& loads) const {
    SimulationOptions options;
    options.config =
        run_.config({"train.global_batch=8", "train.micro_batch=1", "model.experts=8",
                     "fssdp.overlap_degree=3", "fssdp.memory_capacity=2", "strategy=" + strategy});
    options.cluster = compute_only(0.01);
    options.devices = 4;
    options.loads = loads;
    options.warmup = 3;
    options.steps = 2;
    return options;
  }
  std::string trace(const std::vector<int64_t>& shape, const std::vector<uint16_t>& counts) const {
    std::string path = (run_.root() / "trace.npy").string();
    std::ofstream file(path, std::ios::binary);
    file << io::npy_header("<u2", shape);
    file.write(reinterpret_cast<const char*>(counts.data()),
               static_cast<std::streamsize>(counts.size() * sizeof(uint16_t)));
    return path;
  }
  // [layer, source, expert] as a trace's [source, layer, expert].
  static std::vector<uint16_t> counts_of(const sharding::StepLoads& loads) {
    std::vector<uint16_t> counts;
    const auto experts = static_cast<size_t>(loads.shape.experts);
    for (size_t s = 0; s < static_cast<size_t>(loads.shape.sources); ++s)
      for (int l = 0; l < loads.shape.layers; ++l)
        for (size_t e = 0; e < experts; ++e)
          counts.push_back(static_cast<uint16_t>(loads.layer(l)[s * experts + e]));
    return counts;
  }
  TinyRun run_;
};

// The engine of several ranks, paced so that everything but its flops is small, against the
// simulator with the same pace on the loads of the real run: two micro-batches, even and skewed.
TEST_F(SimulateTest, PredictsPacedStepsOfRealRanks) {
  for (const std::string routing : {"even", "zipf:2"}) {
    SimulationOptions simulated = options("ep", "even");
    RunConfig config = simulated.config;
    config.router.source = routing;
    config.device.kind = "paced";
    config.device.pace_gflops = 0.01;
    // Whatever else the machine does only makes a run longer: the best of three counts.
    double ratio = std::numeric_limits<double>::infinity();
    SimulationResult predicted;
    for (int attempt = 0; attempt < 3 && ratio > 1.1; ++attempt) {
      std::vector<uint16_t> loads;
      std::mutex mutex;
      const RankResult real = run_ranks(
          config,
          {.ranks = 4, .ranks_per_node = 2, .steps = 2, .after_step = [&](Engine& engine, int64_t) {
             const std::lock_guard lock(mutex);
             if (engine.options().rank() == 0) loads = counts_of(engine.sharded()->loads());
           }});
      simulated.loads = "trace:" + trace({1, 4, 2, 8}, loads);
      predicted = simulate(simulated);
      ratio = std::min(ratio, real.last[0].seconds / predicted.step_seconds);
    }
    EXPECT_NEAR(ratio, 1, 0.15) << routing;
    EXPECT_GT(median_step(predicted).imbalance, routing == "even" ? 0.99 : 1.3);
  }
}

TEST_F(SimulateTest, ReplaysTheOperationsOfTheExecutor) {
  SimulationOptions each = options("fssdp-rm", "even");
  each.config.model.layers = 4;
  PlanInputs inputs;
  inputs.topology = each.cluster.topology(4);
  inputs.overlap_degree = 3;
  inputs.memory_capacity = 2;
  const Engine engine = imagined_engine(each.config, inputs, 0);
  const graph::StepGraph& graph = engine.step_executor().graph();
  const StepProgram program = step_program(graph, each.cluster, 8, 4);
  ASSERT_EQ(program.program.ops.size(), graph.ops().size());
  for (size_t i = 0; i < graph.ops().size(); ++i) {
    EXPECT_EQ(program.program.ops[i].after, graph.ops()[i].depends_on);
    EXPECT_EQ(program.program.ops[i].flops, graph.ops()[i].cost.flops);
    EXPECT_EQ(program.program.ops[i].lane, static_cast<int>(graph.ops()[i].lane));
    const bool compute = graph.ops()[i].lane == LaneKind::compute;
    const bool host = graph.ops()[i].lane == LaneKind::host;
    EXPECT_EQ(program.moves[i] == Moves::nothing, compute || host) << graph.ops()[i].name;
  }
  EXPECT_TRUE(std::ranges::find(program.gathers_again, true) != program.gathers_again.end());
}

TEST_F(SimulateTest, CriticalPathAddsUpToTheStep) {
  for (const std::string& strategy : sharding::strategy_names()) {
    SimulationOptions each = options(strategy, "zipf:1.2");
    each.config.rearrange.every = 2;
    each.cluster.links.between_gb_per_s = 1e-4;
    each.cluster.links.between_latency_us = 50;
    const SimulationResult result = simulate(each);
    const SimulatedStep& step = median_step(result);
    EXPECT_NEAR(std::accumulate(step.critical.begin(), step.critical.end(), 0.0), step.seconds,
                1e-9 * step.seconds)
        << strategy;
    EXPECT_GT(step.seconds, 0) << strategy;
    EXPECT_GE(step.layer_seconds, 0.999 * step.bound_seconds) << strategy;
  }
}

TEST_F(SimulateTest, CopiesTakeTheBusiestDevicesLoad) {
  const SimulationResult ep = simulate(options("ep", "zipf:2,noise=0"));
  const SimulationResult fssdp = simulate(options("fssdp", "zipf:2,noise=0"));
  EXPECT_GT(median_step(ep).imbalance, 1.3);
  EXPECT_LT(median_step(fssdp).imbalance, 1.05);
  EXPECT_LT(fssdp.step_seconds, 0.9 * ep.step_seconds);
  EXPECT_EQ(median_step(ep).link_bytes[static_cast<size_t>(graph::OpKind::expert_gather)], 0);
  EXPECT_GT(median_step(fssdp).link_bytes[static_cast<size_t>(graph::OpKind::expert_gather)], 0);
}

// Replicas that stay move no parameters, but the sums of their gradients twice.
TEST_F(SimulateTest, ReplicasThatStayAreReducedAndGivenTheSum) {
  SimulationOptions each = options("eplb", "zipf:2,noise=0");
  each.config.rearrange.every = 2;
  const SimulationResult result = simulate(each);
  const SimulatedStep& step = median_step(result);
  EXPECT_EQ(step.link_bytes[static_cast<size_t>(graph::OpKind::expert_gather)], 0);
  EXPECT_GT(step.link_bytes[static_cast<size_t>(graph::OpKind::expert_reduce)], 0);
  EXPECT_GT(result.moved_bytes_per_step, 0);
}

// laer: every device gets its experts whole from all others' slices, whatever the layout.
TEST_F(SimulateTest, SlicesAreRestoredWhole) {
  SimulationOptions each = options("laer", "even");
  each.devices = 4;
  const SimulationResult result = simulate(each);
  const auto& model = each.config.model;
  const double expert = (model.gated() ? 3.0 : 2.0) * static_cast<double>(model.d_model) *
                        static_cast<double>(model.expert_hidden) * sizeof(Real);
  const double restores =
      median_step(result).link_bytes[static_cast<size_t>(graph::OpKind::expert_gather)];
  // Two devices of a node; half of every slice comes from the other node.
  const double slots = restores / (expert / 4 * 2) / 2 / static_cast<double>(model.layers);
  EXPECT_NEAR(slots, std::round(slots), 1e-9);
  EXPECT_GE(slots, 2);
}

TEST_F(SimulateTest, SlowLinksShowInGathers) {
  SimulationOptions fast = options("fsdp", "even"), slow = fast;
  slow.cluster.links.between_gb_per_s = 1e-4;
  const SimulationResult quick = simulate(fast), late = simulate(slow);
  EXPECT_GT(late.step_seconds, 1.2 * quick.step_seconds);
  const auto gather = static_cast<size_t>(graph::OpKind::expert_gather);
  EXPECT_GT(median_step(late).waited[gather], median_step(quick).waited[gather]);
}

TEST_F(SimulateTest, DomainsAreSimulatedOnce) {
  SimulationOptions two = options("fssdp", "even");
  two.config.fssdp.domain = "2";
  const SimulationResult result = simulate(two);
  EXPECT_EQ(result.simulated_devices, 2);
  EXPECT_GT(result.step_seconds, 0);
}

TEST_F(SimulateTest, MemoryIsWhatThePredictionSays) {
  const SimulationOptions each = options("fssdp", "even");
  PlanInputs inputs;
  inputs.topology = each.cluster.topology(4);
  inputs.overlap_degree = 3;
  inputs.memory_capacity = 2;
  const SimulationResult result = simulate(each);
  EXPECT_EQ(result.memory, predict_memory(each.config, inputs, 0));
  SimulationOptions small = each;
  small.config.device.memory_gib = result.memory_gib * 0.9;
  EXPECT_FALSE(simulate(small).fits);
}

TEST_F(SimulateTest, WritesATimelineAndAReport) {
  const auto path = run_.root() / "timeline.json";
  const SimulationResult result = simulate(options("fssdp", "even"), path);
  const std::string text = io::read_file(path);
  EXPECT_THAT(text, HasSubstr("layers.1.ffn.experts.up"));
  EXPECT_THAT(text, HasSubstr("device 3"));
  EXPECT_THAT(to_text(result), HasSubstr("critical path:"));
  EXPECT_THAT(to_json(result), HasSubstr("\"step_seconds\""));
}

TEST_F(SimulateTest, TracesScaleToMoreExpertsAndSources) {
  // Two layers of two experts, one source: 30 and 10, then 5 and 35.
  const auto source = make_load_source("trace:" + trace({1, 1, 2, 2}, {30, 10, 5, 35}));
  const auto loads = source->loads({.layers = 2, .sources = 2, .experts = 4}, 80, 2, 0);
  const std::vector<int64_t> layer = {60, 20, 10, 70, 60, 20, 10, 70};
  EXPECT_TRUE(std::ranges::equal(loads.layer(0), layer));
  EXPECT_TRUE(std::ranges::equal(loads.layer(1), layer)) << "layers repeat";
  const auto fewer = source->loads({.layers = 2, .sources = 1, .experts = 2}, 80, 1, 7);
  EXPECT_THAT(fewer.counts, testing::ElementsAre(60, 20, 10, 70));
}

TEST_F(SimulateTest, RefusesWhatItDoesNotKnow) {
  EXPECT_THROW(make_load_source("zipf:-1"), InvalidArgument);
  EXPECT_THROW(make_load_source("pareto:1"), InvalidArgument);
  EXPECT_THROW(make_load_source("even,drift"), InvalidArgument);
  EXPECT_THROW(make_load_source("even,colour=3"), InvalidArgument);
  SimulationOptions one = options("ep", "even");
  one.devices = 1;
  EXPECT_THROW(simulate(one), InvalidArgument);
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(HECATE_SOURCE_DIR) / "configs" / "clusters"))
    EXPECT_GT(load_cluster_profile(entry.path().string()).device.tflops, 0) << entry.path();
  const auto profile = run_.root() / "profile.toml";
  io::write_file(profile, "[[kernel]]\nkind = \"gem\"\nrows = 1\ngflops = 1\n");
  EXPECT_THROW(load_cluster_profile(profile.string()), InvalidArgument);
}

}  // namespace
}  // namespace hecate::launcher
