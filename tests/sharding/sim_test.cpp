#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <numeric>

#include "runtime/base/error.h"
#include "sharding/sim/loads.h"
#include "sharding/sim/simulator.h"

namespace hecate::sharding::sim {
namespace {

using testing::DoubleNear;
using testing::Each;

constexpr int kCompute = 0, kDispatch = 1, kSparse = 2;

// Two nodes of two devices: 100 bytes/s inside, 10 between, no latencies.
LinkModel links(bool per_device = false) {
  return {.inside_bytes_per_s = 100,
          .inside_latency_s = 0,
          .between_bytes_per_s = 10,
          .between_latency_s = 0,
          .adapter_per_device = per_device,
          .message_s = 0};
}
const std::vector<int> kNodes = {0, 0, 1, 1};

Traffic flows(std::vector<Flow> list, int devices = 4) {
  Traffic traffic;
  traffic.flows = std::make_shared<FlowSet>(devices, std::move(list));
  return traffic;
}

Op op(int lane, double flops, std::vector<int32_t> after = {}, int kind = 0) {
  Op result;
  result.kind = kind;
  result.lane = lane;
  result.flops = flops;
  result.after = std::move(after);
  return result;
}

// One flop a second, nothing else counts.
DeviceModel device() {
  DeviceModel model;
  model.flops_per_s = 1;
  model.bytes_per_s = 1e9;
  return model;
}

struct Case {
  Program program;
  Resources resources{kNodes, links()};
  DeviceModel device = sim::device();
  std::vector<const Traffic*> traffic;
  std::vector<std::vector<double>> rows;

  RunRecord run() {
    program.rows = static_cast<int>(rows.size());
    program.urgent[kDispatch] = true;
    const std::vector<double> start(static_cast<size_t>(resources.devices()), 0.0);
    return simulate({.program = &program,
                     .resources = &resources,
                     .device = &device,
                     .rows = rows,
                     .groups = rows,
                     .traffic = traffic},
                    start);
  }
};

TEST(DeviceModelTest, TakesTheLongerOfFlopsAndBytes) {
  DeviceModel model{.flops_per_s = 100, .bytes_per_s = 10, .launch_s = 1};
  EXPECT_DOUBLE_EQ(seconds_of(model, {.kind = 0, .flops = 500, .bytes = 20}), 1 + 5);
  EXPECT_DOUBLE_EQ(seconds_of(model, {.kind = 0, .flops = 100, .bytes = 20}), 1 + 2);
  model.efficiency = {0.5};
  EXPECT_DOUBLE_EQ(seconds_of(model, {.kind = 0, .flops = 500, .bytes = 0}), 1 + 10);
  EXPECT_DOUBLE_EQ(seconds_of(model, {.kind = 3, .flops = 500, .bytes = 0}), 1 + 5);
}

TEST(DeviceModelTest, SmallGroupsAreSlow) {
  const DeviceModel model{.flops_per_s = 100, .bytes_per_s = 1e9, .launch_s = 0, .half_rows = 32};
  const Work work{.kind = 0, .flops = 1000, .bytes = 0, .rows = 64, .groups = 2};
  EXPECT_NEAR(seconds_of(model, work), 20, 1e-5);  // 32 rows per group: half the rate
}

TEST(DeviceModelTest, MeasuredKernelsInterpolateByTheLogarithmOfRows) {
  DeviceModel model = device();
  model.measured = {{.kind = 2, .rows = 16, .flops_per_s = 10},
                    {.kind = 2, .rows = 256, .flops_per_s = 30}};
  const auto rate = [&](int kind, double rows) {
    return 600 / seconds_of(model, {.kind = kind, .flops = 600, .bytes = 0, .rows = rows});
  };
  EXPECT_NEAR(rate(2, 64), 20, 1e-9);
  EXPECT_NEAR(rate(2, 4), 10, 1e-9);
  EXPECT_NEAR(rate(2, 1000), 30, 1e-9);
  EXPECT_NEAR(rate(1, 64), 1, 1e-9) << "another kind keeps the device's rate";
}

TEST(SimulatorTest, LanesRunInOrderAndWaitForWhatTheyNeed) {
  Case c;
  c.program.ops = {op(kCompute, 3), op(kSparse, 0), op(kCompute, 2, {1}), op(4, 0, {0})};
  c.program.ops[1].host = true;
  c.program.ops[1].seconds = 7;
  const RunRecord record = c.run();
  for (int rank = 0; rank < 4; ++rank) {
    EXPECT_DOUBLE_EQ(record.at(2, rank).begin, 7);
    EXPECT_DOUBLE_EQ(record.end_of(rank, 0), 9);
    EXPECT_DOUBLE_EQ(record.at(3, rank).begin, 3);
  }
}

TEST(SimulatorTest, SharedLinkTakesTheSumOfItsFlows) {
  Case c;
  c.program.ops = {op(kDispatch, 0)};
  const Traffic traffic = flows({{0, 2, 50}, {1, 3, 30}, {2, 0, 10}, {0, 1, 100}});
  c.traffic = {&traffic};
  EXPECT_DOUBLE_EQ(c.run().end_of(2, 0), 8);  // 80 bytes out of node 0
  c.resources = Resources(kNodes, links(true));
  EXPECT_DOUBLE_EQ(c.run().end_of(2, 0), 5);
}

TEST(SimulatorTest, FlowsBetweenThoseWhoAreThereDoNotWaitForALateRank) {
  Case c;
  c.program.ops = {op(kCompute, 0), op(kDispatch, 0, {0})};
  c.program.ops[0].rows = 0;
  c.program.ops[0].flops_per_row = 1;
  c.rows = {{0, 0, 0, 20}};
  const Traffic traffic = flows({{0, 2, 40}, {1, 3, 30}});
  c.traffic = {nullptr, &traffic};
  const RunRecord record = c.run();
  EXPECT_DOUBLE_EQ(record.at(1, 0).end, 4);
  EXPECT_DOUBLE_EQ(record.at(1, 2).end, 4);
  EXPECT_DOUBLE_EQ(record.at(1, 3).end, 23);
  EXPECT_DOUBLE_EQ(record.at(1, 1).end, 23);
}

TEST(SimulatorTest, UrgentTrafficGoesFirst) {
  Case c;
  c.program.ops = {op(kSparse, 0), op(kCompute, 1), op(kDispatch, 0, {1})};
  const Traffic bulk = flows({{0, 2, 100}}), urgent = flows({{1, 3, 20}});
  c.traffic = {&bulk, nullptr, &urgent};
  const RunRecord record = c.run();
  EXPECT_DOUBLE_EQ(record.at(2, 1).end, 3);
  EXPECT_DOUBLE_EQ(record.at(0, 0).end, 12);
}

TEST(SimulatorTest, BulkSharesALinkEvenly) {
  Case c;
  c.program.ops = {op(kSparse, 0), op(3, 0)};
  const Traffic one = flows({{0, 2, 20}}), other = flows({{1, 3, 60}});
  c.traffic = {&one, &other};
  const RunRecord record = c.run();
  EXPECT_DOUBLE_EQ(record.at(0, 0).end, 4);  // 5 bytes/s each
  EXPECT_DOUBLE_EQ(record.at(1, 1).end, 8);  // then all 10
}

TEST(SimulatorTest, CriticalPathFollowsTheRankThatCameLast) {
  Case c;
  c.program.ops = {op(kCompute, 1, {}, 1), op(kDispatch, 0, {0}, 2), op(kCompute, 5, {1}, 1)};
  c.program.ops[0].rows = 0;
  c.program.ops[0].flops_per_row = 1;
  c.rows = {{0, 3, 0, 9}};
  const Traffic traffic = flows({{0, 3, 40}, {1, 0, 10}, {3, 0, 40}, {2, 0, 5}});
  c.traffic = {nullptr, &traffic, nullptr};
  const RunRecord record = c.run();
  std::array<double, 3> seconds{};
  const int first = walk_critical_path(record, 0, [&](int32_t index, double took) {
    seconds[static_cast<size_t>(c.program.ops[static_cast<size_t>(index)].kind)] += took;
  });
  EXPECT_EQ(first, 3);
  EXPECT_DOUBLE_EQ(seconds[1], 10 + 5);
  EXPECT_DOUBLE_EQ(seconds[2], 4);
  EXPECT_DOUBLE_EQ(std::accumulate(seconds.begin(), seconds.end(), 0.0), record.end_of(0, 0));
}

TEST(SimulatorTest, CollectivesOfAllWaitForAll) {
  Case c;
  c.program.ops = {op(kCompute, 0), op(3, 0, {0})};
  c.program.ops[0].rows = 0;
  c.program.ops[0].flops_per_row = 1;
  c.rows = {{0, 3, 0, 9}};
  const Traffic gather = all_gather_traffic(40, {.devices = 4, .devices_per_node = 2}, c.resources);
  c.traffic = {nullptr, &gather};
  const RunRecord record = c.run();
  for (int rank = 0; rank < 4; ++rank)
    EXPECT_DOUBLE_EQ(record.at(1, rank).end, 9 + 2);  // half of it enters each node
}

TEST(TrafficTest, SlicesComeFromAllDevices) {
  const Resources resources(kNodes, links());
  collectives::Placement placement(3, 4);
  placement.add(0, 1);
  placement.add(1, 1);
  placement.add(2, 3);
  std::vector<double> loads(resources.count());
  add_loads(slices_traffic(placement, 8, false, resources), resources, loads);
  EXPECT_DOUBLE_EQ(loads[resources.port_in(1)], 4);     // 2 experts, 2 bytes of device 0
  EXPECT_DOUBLE_EQ(loads[resources.adapter_in(1)], 8);  // and of each of the other node's
  EXPECT_DOUBLE_EQ(loads[resources.adapter_out(1)], 4);
  std::vector<double> back(resources.count());
  add_loads(slices_traffic(placement, 8, true, resources), resources, back);
  EXPECT_DOUBLE_EQ(back[resources.adapter_out(1)], 8);
  EXPECT_DOUBLE_EQ(back[resources.port_out(1)], 4);
}

TEST(TrafficTest, JoinedCollectivesMoveTheBytesOfBoth) {
  const Resources resources(kNodes, links());
  const Traffic one = flows({{0, 2, 3}});
  Traffic other = flows({{0, 2, 5}});
  other.reversed = true;
  other.bytes_per_unit = 2;
  std::vector<double> loads(resources.count());
  add_loads(joined(one, other), resources, loads);
  EXPECT_DOUBLE_EQ(loads[resources.adapter_out(0)], 3);
  EXPECT_DOUBLE_EQ(loads[resources.adapter_in(0)], 10);
}

TEST(SyntheticLoadsTest, RowsSumAndRespectTheLimit) {
  for (const LoadKind kind : {LoadKind::even, LoadKind::zipf, LoadKind::dirichlet}) {
    const SyntheticLoads loads{.kind = kind,
                               .skew = 1.5,
                               .noise = 0.5,
                               .drift = 0.1,
                               .burst_chance = 0.5,
                               .burst_share = 0.9,
                               .seed = 3};
    const StepLoads step =
        synthetic_loads(loads, {.layers = 3, .sources = 2, .experts = 8}, 200, 100, 70);
    for (size_t row = 0; row < 6; ++row) {
      const auto begin = step.counts.begin() + static_cast<std::ptrdiff_t>(8 * row);
      EXPECT_EQ(std::accumulate(begin, begin + 8, int64_t{0}), 200);
      EXPECT_LE(*std::max_element(begin, begin + 8), 100);
    }
  }
  EXPECT_THROW(synthetic_loads({}, {.layers = 1, .sources = 1, .experts = 2}, 9, 4, 0),
               InvalidArgument);
}

TEST(SyntheticLoadsTest, DriftForgetsSlowly) {
  const auto correlation = [](double drift, int64_t apart) {
    const SyntheticLoads loads{.kind = LoadKind::zipf, .skew = 1, .noise = 0, .drift = drift};
    const LoadShape shape{.layers = 1, .sources = 1, .experts = 512};
    const auto at = [&](int64_t s) { return synthetic_loads(loads, shape, 1 << 20, 1 << 20, s); };
    const StepLoads a = at(100), b = at(100 + apart);
    double ab = 0, aa = 0, bb = 0, mean = 0;
    for (const int64_t count : a.counts) mean += std::log(1 + static_cast<double>(count)) / 512;
    for (size_t e = 0; e < 512; ++e) {
      const double x = std::log(1 + static_cast<double>(a.counts[e]));
      const double y = std::log(1 + static_cast<double>(b.counts[e]));
      ab += (x - mean) * (y - mean);
      aa += (x - mean) * (x - mean);
      bb += (y - mean) * (y - mean);
    }
    return ab / std::sqrt(aa * bb);
  };
  EXPECT_DOUBLE_EQ(correlation(0, 30), 1);
  EXPECT_GT(correlation(0.01, 1), correlation(0.3, 1));
  EXPECT_GT(correlation(0.01, 1), 0.95);
  EXPECT_LT(correlation(0.1, 20), 0.3);
}

TEST(SyntheticLoadsTest, BurstsLastAStep) {
  const SyntheticLoads loads{.kind = LoadKind::even,
                             .skew = 1,
                             .noise = 0,
                             .drift = 0,
                             .burst_chance = 0.3,
                             .burst_share = 0.5,
                             .seed = 5};
  int bursts = 0;
  for (int64_t step = 0; step < 200; ++step) {
    const StepLoads each =
        synthetic_loads(loads, {.layers = 1, .sources = 1, .experts = 16}, 1600, 1600, step);
    const int64_t most = *std::max_element(each.counts.begin(), each.counts.end());
    EXPECT_TRUE(most == 100 || most == 850) << most;
    bursts += most > 100 ? 1 : 0;
  }
  EXPECT_NEAR(bursts, 60, 25);
}

}  // namespace
}  // namespace hecate::sharding::sim
