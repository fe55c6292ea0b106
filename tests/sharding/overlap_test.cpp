#include "sharding/overlap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/error.h"

namespace hecate::sharding {
namespace {

using collectives::Topology;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

OverlapInputs two_nodes() {
  return {.topology = Topology::uniform(4, 2, {1e9, 1e-6}, {1e8, 1e-5}),
          .forward_seconds = 0.1,
          .backward_seconds = 0.2,
          .gather_bytes = 1e6,
          .reduce_bytes = 2e6};
}

TEST(OverlapDegreeTest, IsWhatTheSlowerLinkCarriesUnderTheCompute) {
  const OverlapDegree degree = overlap_degree(two_nodes(), 64);
  EXPECT_EQ(degree.forward, 10);   // 0.1 s * 100 MB/s / 1 MB
  EXPECT_EQ(degree.backward, 10);  // 0.2 s * 100 MB/s / 2 MB
}

TEST(OverlapDegreeTest, BackwardGathersTooAfterARelease) {
  OverlapInputs inputs = two_nodes();
  inputs.gathers_in_backward = true;
  const OverlapDegree degree = overlap_degree(inputs, 64);
  EXPECT_EQ(degree.forward, 10);
  EXPECT_EQ(degree.backward, 6);  // 0.2 s * 100 MB/s / 3 MB
  EXPECT_EQ(degree.t(), 6);
}

TEST(OverlapDegreeTest, DenseTrafficTakesItsShare) {
  OverlapInputs inputs = two_nodes();
  inputs.dense_share = 0.25;
  EXPECT_EQ(overlap_degree(inputs, 64).forward, 7);
}

TEST(OverlapDegreeTest, OneNodeCountsItsPortsAndOneDeviceNothing) {
  OverlapInputs inputs = two_nodes();
  inputs.topology = Topology::uniform(4, 4, {1e9, 1e-6}, {1e8, 1e-5});
  EXPECT_EQ(overlap_degree(inputs, 1000).forward, 100);
  inputs.topology = Topology::uniform(1, 1, {1e9, 1e-6}, {1e8, 1e-5});
  EXPECT_EQ(overlap_degree(inputs, 1000).forward, 1000);
}

TEST(OverlapDegreeTest, IsBetweenZeroAndAllExperts) {
  OverlapInputs inputs = two_nodes();
  EXPECT_EQ(overlap_degree(inputs, 4).t(), 4);
  inputs.forward_seconds = 0;
  EXPECT_EQ(overlap_degree(inputs, 4).t(), 0);
}

TEST(OverlapDegreeTest, QuantisedInputsForgetNoise) {
  OverlapInputs a = two_nodes(), b = two_nodes();
  a.forward_seconds = 0.10432;
  b.forward_seconds = 0.09981;
  b.backward_seconds *= 1.003;
  b.topology.between.bytes_per_s *= 1.0004;
  b.dense_share = 0.003;
  a = quantised(a);
  b = quantised(b);
  EXPECT_EQ(a.forward_seconds, b.forward_seconds);
  EXPECT_EQ(a.backward_seconds, b.backward_seconds);
  EXPECT_EQ(a.topology.between.bytes_per_s, b.topology.between.bytes_per_s);
  EXPECT_EQ(a.dense_share, b.dense_share);
}

TEST(OverlapDegreeTest, RefusesNonsense) {
  OverlapInputs inputs = two_nodes();
  inputs.dense_share = 1;
  EXPECT_THAT([&] { overlap_degree(inputs, 4); },
              ThrowsMessage<InvalidArgument>(HasSubstr("0 <= share < 1")));
  inputs = two_nodes();
  inputs.forward_seconds = -1;
  EXPECT_THROW(overlap_degree(inputs, 4), InvalidArgument);
}

CapacityInputs twelve_layers() {
  return {.budget_bytes = 1000,
          .fixed_bytes = 400,
          .parameter_chunk_bytes = 10,
          .gradient_chunk_bytes = 5,
          .layers = 12,
          .experts = 64};
}

TEST(MemoryCapacityTest, KeepHoldsParametersOfAllLayers) {
  const CapacityInputs inputs = twelve_layers();
  EXPECT_EQ(inputs.bytes(1), 12 * 10 + 2 * 5);
  EXPECT_EQ(memory_capacity(inputs), 4);  // 600 / 130
}

TEST(MemoryCapacityTest, ReleaseHoldsOneLayerAndThePrefetchedOnes) {
  CapacityInputs inputs = twelve_layers();
  inputs.release = true;
  EXPECT_EQ(inputs.bytes(1), 2 * 10 + 2 * 5);
  EXPECT_EQ(memory_capacity(inputs), 20);
  inputs.prefetch_depth = 0;
  inputs.reduce_depth = 0;
  EXPECT_EQ(memory_capacity(inputs), 40);
}

TEST(MemoryCapacityTest, AccumulatedGradientsWaitInAllLayers) {
  CapacityInputs inputs = twelve_layers();
  inputs.accumulate = true;
  EXPECT_EQ(inputs.bytes(1), 12 * 15);
  inputs.release = true;
  EXPECT_EQ(inputs.bytes(1), 30);
}

TEST(MemoryCapacityTest, MoreThanAllExpertsIsNeverNeeded) {
  CapacityInputs inputs = twelve_layers();
  inputs.budget_bytes = 1 << 30;
  EXPECT_EQ(memory_capacity(inputs), 64);
}

TEST(MemoryCapacityTest, ExactlyTheFixedPartLeavesNoSlot) {
  CapacityInputs inputs = twelve_layers();
  inputs.budget_bytes = inputs.fixed_bytes;
  EXPECT_EQ(memory_capacity(inputs), 0);
}

TEST(MemoryCapacityTest, NamesMissingBytesAndWhatWouldFit) {
  CapacityInputs inputs = twelve_layers();
  EXPECT_NO_THROW(check_capacity(inputs, 4));
  EXPECT_THAT([&] { check_capacity(inputs, 6); },
              ThrowsMessage<InvalidArgument>(AllOf(
                  HasSubstr("needs 1180"), HasSubstr("180 bytes more"), HasSubstr("m = 4 fits"))));
  inputs.budget_bytes = 300;
  EXPECT_THAT([&] { memory_capacity(inputs); },
              ThrowsMessage<InvalidArgument>(AllOf(HasSubstr("100 bytes are missing"),
                                                   HasSubstr("400 bytes fits with m = 0"),
                                                   HasSubstr("530 bytes with m = 1"))));
}

}  // namespace
}  // namespace hecate::sharding
