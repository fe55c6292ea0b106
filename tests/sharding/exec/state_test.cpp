#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "runtime/base/error.h"
#include "sharding/exec/dense_shards.h"
#include "sharding/exec/expert_replicas.h"
#include "sharding/exec/resharder.h"
#include "tests/collectives/threads.h"

namespace hecate::sharding::exec {
namespace {

using collectives::Communicator;
using collectives::Placement;

constexpr int64_t kElements = 100;  // of a chunk: neither a multiple of 16 nor of the domains
const ExpertChunks kChunks{.layers = 1, .experts = 4, .elements = kElements};

collectives::CommunicatorOptions pairs() {
  collectives::CommunicatorOptions options;
  options.timeout = std::chrono::seconds(20);
  options.ranks_per_node = 2;
  return options;
}

DomainLanes lanes_of(const Communicator& all, const char* domain) {
  collectives::WorldOptions options;
  options.domain = collectives::parse_domain(domain);
  return domain_lanes(collectives::World(all, options),
                      collectives::Topology::uniform(all.size(), 2, {1e9, 1e-6}, {1e8, 1e-5}));
}

DomainLanes node_lanes(const Communicator& all) {
  return lanes_of(all, "node");
}

Real value_of(int64_t expert, int64_t array, int64_t element) {
  return static_cast<Real>(1000 * expert + 400 * array + element);
}

void fill(ExpertStore& store) {
  for (int64_t e = 0; e < 4; ++e) {
    const OwnedChunk chunk = store.chunk(0, e);
    if (chunk.value == nullptr) continue;
    for (int64_t i = 0; i < store.slice().size(); ++i) {
      chunk.own_value[i] = value_of(e, 0, store.slice().begin + i);
      chunk.first_moment[i] = value_of(e, 1, store.slice().begin + i);
      chunk.second_moment[i] = value_of(e, 2, store.slice().begin + i);
    }
  }
}

ExpertStore make_store(MemoryLedger& ledger, const DomainLanes& lanes) {
  ExpertStore store(ledger, kChunks, Ownership(1, 4, 2, {0, 0, 1, 1}), lanes.rank(),
                    {.index = lanes.replicas.rank(), .count = lanes.replicas.size()});
  fill(store);
  return store;
}

void expect_own_state(const ExpertStore& store) {
  for (int64_t e = 0; e < 4; ++e) {
    const OwnedChunk chunk = store.chunk(0, e);
    ASSERT_EQ(chunk.value != nullptr, store.holders(0).holds(static_cast<int>(e), store.rank()));
    if (chunk.value == nullptr) continue;
    int64_t array = 0;
    for (const Real* own : {chunk.own_value, chunk.first_moment, chunk.second_moment}) {
      for (int64_t i = 0; i < store.slice().size(); ++i)
        ASSERT_EQ(own[i], value_of(e, array, store.slice().begin + i)) << e << ", array " << array;
      ++array;
    }
  }
}

TEST(PartOf, CutsAtVectorsAndLeavesNothingOut) {
  for (int64_t size : {0, 1, 16, 100, 4097})
    for (int parts : {1, 2, 3, 7}) {
      int64_t next = 5;
      for (int i = 0; i < parts; ++i) {
        const ElementRange part = part_of({5, 5 + size}, i, parts);
        EXPECT_EQ(part.begin, next);
        EXPECT_TRUE((part.begin - 5) % 16 == 0 || part.begin == 5 + size);
        next = part.end;
      }
      EXPECT_EQ(next, 5 + size);
    }
}

TEST(ExpertReplicas, JoinValuesAndSplitSumsOfGradients) {
  collectives::run_ranks(6, pairs(), [](const Communicator& all) {
    const DomainLanes lanes = node_lanes(all);
    MemoryLedger ledger;
    ExpertStore store = make_store(ledger, lanes);
    ExpertReplicas replicas(store, lanes.replicas);
    replicas.gather(0);
    for (int64_t e = 0; e < 4; ++e) {
      const OwnedChunk chunk = store.chunk(0, e);
      for (int64_t i = 0; chunk.value != nullptr && i < kElements; ++i) {
        ASSERT_EQ(chunk.value[i], value_of(e, 0, i));
        chunk.gradient[i] = static_cast<Real>(1 + lanes.replicas.rank()) * value_of(e, 0, i);
      }
    }
    replicas.reduce(0);
    for (int64_t e = 0; e < 4; ++e) {
      const OwnedChunk chunk = store.chunk(0, e);
      for (int64_t i = 0; chunk.value != nullptr && i < store.slice().size(); ++i)
        ASSERT_EQ(chunk.own_gradient[i], 6 * value_of(e, 0, store.slice().begin + i));
    }
  });
}

TEST(Reshard, MovesSlicesInsideEveryDomain) {
  collectives::run_ranks(4, pairs(), [](const Communicator& all) {
    const DomainLanes lanes = node_lanes(all);
    MemoryLedger ledger;
    ExpertStore store = make_store(ledger, lanes);
    const ReshardReport report = reshard(store, Ownership(1, 4, 2, {1, 0, 0, 1}), lanes, ledger);
    EXPECT_EQ(report.moves, 2);
    EXPECT_EQ(report.bytes_sent, 3 * store.slice().size() * static_cast<int64_t>(sizeof(Real)));
    expect_own_state(store);
  });
}

// Expert 0 comes to both other nodes' ranks but one, expert 1 leaves its owner for a replica's
// rank.
TEST(Reshard, BringsReplicasTheWholeState) {
  collectives::run_ranks(4, pairs(), [](const Communicator& all) {
    const DomainLanes lanes = lanes_of(all, "all");
    MemoryLedger ledger;
    Placement before = Placement::from_owners(std::vector<int>{0, 1, 2, 3}, 4);
    before.add(1, 2);
    ExpertStore store(ledger, kChunks, Ownership(1, 4, 4, {0, 1, 2, 3}), lanes.rank(), {},
                      {.holders = {before}, .slots = 3});
    EXPECT_TRUE(store.replicated());
    fill(store);
    const Ownership owners = Ownership::uneven(1, 4, 4, {0, 2, 2, 3});
    Placement after = Placement::from_owners(owners.layer(0), 4);
    for (int rank : {1, 3}) after.add(0, rank);
    const ReshardReport report = reshard(store, owners, lanes, ledger, {after});
    EXPECT_EQ(report.moves, 2);
    EXPECT_TRUE(report.changed);
    EXPECT_EQ(store.holders(0), after);
    EXPECT_EQ(store.owners(), owners);
    expect_own_state(store);
    EXPECT_FALSE(reshard(store, owners, lanes, ledger, {after}).changed);
    after.add_everywhere(1);
    after.add_everywhere(2);
    after.add_everywhere(3);  // four experts on rank 1, three slots
    EXPECT_THROW(reshard(store, owners, lanes, ledger, {after}), Error);
    EXPECT_EQ(store.owners(), owners);
    expect_own_state(store);
  });
}

TEST(ExpertStore, SlicesCoverEveryChunkOnce) {
  MemoryLedger ledger;
  int64_t next = 0;
  for (int rank = 0; rank < 3; ++rank)
    for (int domain = 0; domain < 2; ++domain) {
      const ExpertStore store(ledger, kChunks, Ownership(1, 4, 3, {0, 0, 1, 2}), rank,
                              {.index = domain, .count = 2}, {.sliced = true});
      EXPECT_EQ(store.slice().begin, next);
      next = store.slice().end;
      for (int64_t e = 0; e < 4; ++e) EXPECT_TRUE(store.resides(0, e));
      EXPECT_EQ(store.slots(), 4);
    }
  EXPECT_EQ(next, kElements);
}

TEST(Reshard, ChangesNothingAnywhereIfOneRankLacksRoom) {
  collectives::run_ranks(4, pairs(), [](const Communicator& all) {
    const DomainLanes lanes = node_lanes(all);
    MemoryLedger ledger, full(1);
    ExpertStore store = make_store(ledger, lanes);
    // Rank 3 is in the other domain than ranks 0 and 1.
    EXPECT_THROW(
        reshard(store, Ownership(1, 4, 2, {1, 0, 0, 1}), lanes, all.rank() == 3 ? full : ledger),
        DeviceError);
    EXPECT_EQ(store.owners(), Ownership(1, 4, 2, {0, 0, 1, 1}));
    expect_own_state(store);
  });
}

TEST(DenseShards, RingsHoldOneBucketAtATimeAndAddUpGradients) {
  collectives::run_ranks(3, pairs(), [](const Communicator& all) {
    MemoryLedger ledger;
    DenseShards shards(all, ledger,
                       {.ranges = {{0, 100}, {112, 150}, {160, 280}},
                        .value_rings = {0, 0, 1},
                        .gradient_rings = {0, 0, 0}},
                       true);
    EXPECT_EQ(shards.values(0), shards.values(1));
    EXPECT_NE(shards.values(0), shards.values(2));
    EXPECT_EQ(ledger.current()[static_cast<size_t>(MemoryCategory::materialized)],
              (112 + 128) * static_cast<int64_t>(sizeof(Real)));
    for (int64_t b = 0; b < 3; ++b)
      for (int64_t i = 0; i < shards.slice(b).size(); ++i)
        shards.own_values(b)[i] = static_cast<Real>(shards.slice(b).begin + i);
    for (bool accumulate : {false, true})
      for (int64_t b = 0; b < 3; ++b) {
        shards.gather(b);
        for (int64_t i = 0; i < shards.bucket(b).size(); ++i) {
          ASSERT_EQ(shards.values(b)[i], static_cast<Real>(shards.bucket(b).begin + i));
          shards.gradients(b)[i] = static_cast<Real>(all.rank() + 1) * shards.values(b)[i];
        }
        shards.reduce(b, accumulate);
        for (int64_t i = 0; i < shards.slice(b).size(); ++i)
          ASSERT_EQ(shards.own_gradients(b)[i],
                    (accumulate ? 12 : 6) * static_cast<Real>(shards.slice(b).begin + i));
      }
  });
}

TEST(DenseShards, RefuseBucketsThatOverlapAndRingsOfAnotherNumber) {
  collectives::run_ranks(1, pairs(), [](const Communicator& all) {
    MemoryLedger ledger;
    EXPECT_THROW(DenseShards(all, ledger, {.ranges = {{0, 10}, {5, 20}}}, true), InvalidArgument);
    EXPECT_THROW(
        DenseShards(all, ledger,
                    {.ranges = {{0, 10}}, .value_rings = {0, 1}, .gradient_rings = {0, 1}}, true),
        InvalidArgument);
  });
}

}  // namespace
}  // namespace hecate::sharding::exec
