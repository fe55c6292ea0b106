#include "collectives/sparse_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "runtime/base/error.h"
#include "tests/collectives/random_placement.h"

namespace hecate::collectives {
namespace {

constexpr SparseAlgorithm kAll[] = {SparseAlgorithm::group, SparseAlgorithm::direct,
                                    SparseAlgorithm::tree, SparseAlgorithm::automatic};

std::vector<int64_t> bytes_of(const SparseCase& test) {
  std::vector<int64_t> bytes;
  for (int64_t count : test.elements) bytes.push_back(count * 4);
  return bytes;
}

SparseSchedule plan(const SparseCase& test, const std::vector<int64_t>& bytes, bool reduce,
                    SparseAlgorithm algorithm, int64_t segment = 1024) {
  const SparseRequest request{.owners = test.owners,
                              .materialized = &test.materialized,
                              .chunk_bytes = bytes,
                              .topology = &test.topology,
                              .algorithm = algorithm,
                              .segment_bytes = segment};
  return reduce ? plan_reduce(request) : plan_gather(request);
}

std::map<int, std::vector<Transfer>> by_part(const SparseSchedule& schedule) {
  std::map<int, std::vector<Transfer>> parts;
  for (const Transfer& transfer : schedule.transfers) parts[transfer.part].push_back(transfer);
  return parts;
}

// Follows every part: who has it (gather), whose values are in it (reduce).
void check_gather(const SparseCase& test, const SparseSchedule& schedule) {
  std::vector<int64_t> covered(test.owners.size());
  for (const auto& [part, transfers] : by_part(schedule)) {
    const auto chunk = static_cast<size_t>(transfers[0].chunk);
    std::set<int> have{test.owners[chunk]};
    for (const Transfer& transfer : transfers) {
      ASSERT_EQ(transfer.chunk, transfers[0].chunk);
      ASSERT_EQ(transfer.offset, transfers[0].offset);
      ASSERT_TRUE(have.contains(transfer.source)) << "part " << part;
      ASSERT_TRUE(have.insert(transfer.destination).second) << "sent twice";
    }
    const auto holders = test.materialized.holders(transfers[0].chunk);
    ASSERT_EQ(have, std::set<int>(holders.begin(), holders.end()));
    covered[chunk] += transfers[0].bytes;
  }
  for (size_t e = 0; e < covered.size(); ++e) {
    const bool alone = test.materialized.holders(static_cast<int>(e)).size() == 1;
    ASSERT_EQ(covered[e], alone ? 0 : test.elements[e] * 4);
  }
}

void check_reduce(const SparseCase& test, const SparseSchedule& schedule) {
  for (const auto& [part, transfers] : by_part(schedule)) {
    const int chunk = transfers[0].chunk;
    std::map<int, std::set<int>> values;
    for (int holder : test.materialized.holders(chunk)) values[holder] = {holder};
    std::set<int> sent;
    for (const Transfer& transfer : transfers) {
      ASSERT_TRUE(sent.insert(transfer.source).second) << "rank sends its sum twice";
      ASSERT_FALSE(sent.contains(transfer.destination)) << "adds after it has sent";
      ASSERT_EQ(transfer.partial, values[transfer.source].size() > 1);
      for (int value : values[transfer.source])
        ASSERT_TRUE(values[transfer.destination].insert(value).second) << "added twice";
    }
    const auto holders = test.materialized.holders(chunk);
    ASSERT_EQ(values[test.owners[static_cast<size_t>(chunk)]],
              std::set<int>(holders.begin(), holders.end()));
  }
}

TEST(SparseSchedule, DeliversEveryChunkForThousandsOfPlacements) {
  const CounterRng rng(5, stream_of("shapes"));
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    const int ranks = 1 + static_cast<int>(rng.below(3 * seed, 16));
    const int per_node = 1 + static_cast<int>(rng.below(3 * seed + 1, 5));
    const int experts = static_cast<int>(rng.below(3 * seed + 2, 24));
    const SparseCase test = random_sparse_case(seed, ranks, per_node, experts, 5000);
    const auto bytes = bytes_of(test);
    for (SparseAlgorithm algorithm : kAll) {
      check_gather(test, plan(test, bytes, false, algorithm));
      check_reduce(test, plan(test, bytes, true, algorithm));
      if (HasFatalFailure()) FAIL() << "seed " << seed << ", " << name_of(algorithm);
    }
  }
}

// Bytes through each node's link, the larger direction of the busiest one.
double busiest_link(const SparseSchedule& schedule, int nodes) {
  std::vector<double> out(static_cast<size_t>(nodes)), in(out);
  for (const Transfer& transfer : schedule.transfers) {
    const auto from = static_cast<size_t>(schedule.node_of[static_cast<size_t>(transfer.source)]);
    const auto to =
        static_cast<size_t>(schedule.node_of[static_cast<size_t>(transfer.destination)]);
    if (from == to) continue;
    out[from] += static_cast<double>(transfer.bytes);
    in[to] += static_cast<double>(transfer.bytes);
  }
  return std::max(*std::max_element(out.begin(), out.end()),
                  *std::max_element(in.begin(), in.end()));
}

TEST(SparseSchedule, TreeEntersANodeOncePerByte) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const SparseCase test = random_sparse_case(seed, 12, 3, 20, 50000);
    const auto schedule = plan(test, bytes_of(test), false, SparseAlgorithm::tree);
    std::map<std::pair<int, int>, int64_t> entered;
    for (const Transfer& transfer : schedule.transfers) {
      const int from = test.topology.node_of[static_cast<size_t>(transfer.source)];
      const int to = test.topology.node_of[static_cast<size_t>(transfer.destination)];
      if (from != to) entered[{transfer.chunk, to}] += transfer.bytes;
    }
    for (const auto& [where, bytes] : entered)
      ASSERT_EQ(bytes, test.elements[static_cast<size_t>(where.first)] * 4);
  }
}

SparseCase hot_experts(int ranks, int per_node, bool one_node, int64_t bytes) {
  SparseCase test;
  test.topology = Topology::uniform(ranks, per_node, {8e9, 1e-6}, {125e6, 5e-5});
  test.materialized = Placement(16, ranks);
  for (int e = 0; e < 16; ++e) {
    test.owners.push_back(one_node && e < 4 ? e % per_node : e * ranks / 16);
    test.materialized.add(e, test.owners.back());
    const bool hot = one_node ? e < 4 : e % 4 == 0;
    if (hot) test.materialized.add_everywhere(e);
    test.elements.push_back(bytes / 4);
  }
  return test;
}

TEST(SparseSchedule, TreeKeepsTheBusiestLinkAtTheLowerBound) {
  for (bool one_node : {true, false}) {
    const SparseCase test = hot_experts(8, 2, one_node, 4 << 20);
    for (bool reduce : {false, true}) {
      const auto schedule =
          plan(test, bytes_of(test), reduce, SparseAlgorithm::tree, /*segment=*/256 << 10);
      EXPECT_LE(busiest_link(schedule, 4) / 125e6, schedule.lower_bound_seconds * 1.02)
          << "one node " << one_node << ", reduce " << reduce;
      EXPECT_LE(schedule.modelled_seconds, schedule.lower_bound_seconds * 1.1);
    }
  }
}

TEST(SparseSchedule, ReducesRelayWhereLinksHaveRoom) {
  // Of four nodes, node 1 must take in two chunks and node 3 one: the chunk that everybody holds
  // has to be relayed by node 0, although node 3 comes before it in the order of sums.
  SparseCase test;
  test.topology = Topology::uniform(4, 1, {8e9, 1e-6}, {125e6, 5e-5});
  test.owners = {1, 1, 3};
  test.materialized = Placement::from_owners(test.owners, 4);
  test.materialized.add(0, 2);
  test.materialized.add_everywhere(1);
  test.materialized.add(2, 0);
  test.materialized.add(2, 1);
  test.elements.assign(3, 1 << 20);
  const auto schedule = plan(test, bytes_of(test), true, SparseAlgorithm::tree, 64 << 10);
  EXPECT_DOUBLE_EQ(busiest_link(schedule, 4) / 125e6, schedule.lower_bound_seconds);
}

TEST(SparseSchedule, RandomTreesAreNearTheLowerBound) {
  double ratio = 0;
  constexpr int kCases = 200;
  for (uint64_t seed = 0; seed < kCases; ++seed) {
    const SparseCase test = random_sparse_case(seed, 16, 4, 40, 1 << 20);
    for (bool reduce : {false, true}) {
      const auto schedule = plan(test, bytes_of(test), reduce, SparseAlgorithm::tree);
      const double bound = schedule.lower_bound_seconds * 125e6;
      ratio += bound > 0 ? busiest_link(schedule, 4) / bound : 1;
    }
  }
  EXPECT_LT(ratio / (2 * kCases), 1.05);
}

TEST(SparseSchedule, LowerBoundIsWhatMustCross) {
  // Two nodes of one rank: rank 0 owns two chunks that rank 1 needs, rank 1 one that 0 needs.
  SparseCase test;
  test.topology = Topology::uniform(2, 1, {1e9, 1e-6}, {1e6, 1e-5});
  test.owners = {0, 0, 1, 1};
  test.materialized = Placement::from_owners(test.owners, 2);
  test.materialized.add(0, 1);
  test.materialized.add(1, 1);
  test.materialized.add(2, 0);
  test.elements = {250, 500, 125, 10000};
  const auto schedule = plan(test, bytes_of(test), false, SparseAlgorithm::tree);
  EXPECT_DOUBLE_EQ(schedule.lower_bound_seconds, 3000 / 1e6);
}

TEST(SparseSchedule, AutoTakesTheCheaperModel) {
  const SparseCase test = hot_experts(8, 2, true, 1 << 20);
  const auto best = plan(test, bytes_of(test), false, SparseAlgorithm::automatic);
  for (SparseAlgorithm algorithm : {SparseAlgorithm::direct, SparseAlgorithm::tree})
    EXPECT_LE(best.modelled_seconds, plan(test, bytes_of(test), false, algorithm).modelled_seconds);
}

TEST(SparseSchedule, PlansAreCheap) {
  // 64 ranks x 256 experts; the limit is wide because test machines are shared.
  const SparseCase test = random_sparse_case(3, 64, 8, 256, 1 << 20);
  const auto bytes = bytes_of(test);
  double best = 1;
  for (int round = 0; round < 20; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    const auto schedule = plan(test, bytes, round % 2 == 1, SparseAlgorithm::tree, 256 << 10);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    ASSERT_FALSE(schedule.transfers.empty());
    best = std::min(best, elapsed.count());
  }
  RecordProperty("plan_microseconds", std::to_string(best * 1e6));
  EXPECT_LT(best, 5e-3);
}

TEST(SparseSchedule, RefusesImpossibleRequests) {
  SparseCase test = hot_experts(4, 2, true, 1024);
  auto bytes = bytes_of(test);
  bytes[3] = -1;
  EXPECT_THROW(plan(test, bytes, false, SparseAlgorithm::tree), InvalidArgument);
  bytes.pop_back();
  EXPECT_THROW(plan(test, bytes, false, SparseAlgorithm::tree), InvalidArgument);
  test.materialized = Placement(16, 4);
  EXPECT_THROW(plan(test, bytes_of(test), false, SparseAlgorithm::tree), InvalidArgument);
  EXPECT_THROW(sparse_algorithm("trees"), InvalidArgument);
  EXPECT_EQ(sparse_algorithm("auto"), SparseAlgorithm::automatic);
}

TEST(Topology, SurvivesItsText) {
  const Topology topology = Topology::uniform(5, 2, {8.25e9, 1.5e-6}, {1.2e8, 5e-5});
  const Topology copy = topology_from_text(to_text(topology));
  EXPECT_EQ(copy.node_of, topology.node_of);
  EXPECT_EQ(copy.inside.bytes_per_s, topology.inside.bytes_per_s);
  EXPECT_EQ(copy.between.latency_s, topology.between.latency_s);
  EXPECT_THROW(topology_from_text("nonsense"), InvalidArgument);
  EXPECT_THROW(topology_from_text("topology 1e9 1e-6 1e9 1e-6 0 2"), InvalidArgument);
}

TEST(Topology, OfSomeRanksNumbersNodesAnew) {
  const Topology whole = Topology::uniform(6, 2, {8e9, 1e-6}, {1e8, 5e-5});
  const Topology part = topology_of(whole, std::vector<int>{3, 4, 2});
  EXPECT_EQ(part.node_of, (std::vector<int>{0, 1, 0}));
  EXPECT_EQ(part.between.bytes_per_s, 1e8);
  EXPECT_THROW(topology_of(whole, std::vector<int>{6}), InvalidArgument);
}

TEST(Topology, QuantisesToThreeDigits) {
  const Topology topology =
      quantised(Topology::uniform(2, 1, {8.24749e9, 1.5551e-6}, {1.2344e8, 5e-5}));
  EXPECT_NEAR(topology.inside.bytes_per_s, 8.25e9, 1);
  EXPECT_NEAR(topology.between.bytes_per_s, 1.23e8, 1);
  EXPECT_NEAR(topology.inside.latency_s, 1.56e-6, 1e-12);
}

TEST(Placement, KeepsHoldersSortedAndChecked) {
  Placement placement(2, 4);
  for (int device : {3, 0, 3, 2}) placement.add(1, device);
  EXPECT_THAT(placement.holders(1), testing::ElementsAre(0, 2, 3));
  EXPECT_TRUE(placement.holds(1, 2));
  EXPECT_FALSE(placement.holds(0, 2));
  EXPECT_EQ(placement.held_by(3), 1);
  EXPECT_THROW(placement.add(0, 4), InvalidArgument);
  EXPECT_THROW(placement.add(2, 0), InvalidArgument);
  EXPECT_THROW(owners_of(placement), InvalidArgument);
  const int owners[] = {1, 2};
  const Placement owned = Placement::from_owners(owners, 4);
  EXPECT_EQ(owners_of(owned), (std::vector<int>{1, 2}));
  EXPECT_THROW(check_materialized(owned, placement), InvalidArgument);
  placement.add(0, 1);
  EXPECT_NO_THROW(check_materialized(owned, placement));
}

}  // namespace
}  // namespace hecate::collectives
