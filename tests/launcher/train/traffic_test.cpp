#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>
#include <numeric>

#include "collectives/backend.h"
#include "collectives/sparse_schedule.h"
#include "tests/launcher/train/rank_run.h"
#include "tests/launcher/train/tiny_run.h"

/// What is counted at the communicator is what the placements of the step say.
namespace hecate::launcher {
namespace {

using collectives::LinkBytes;
using collectives::Placement;
using collectives::TrafficKind;

constexpr int kSteps = 5;  // owners move after the second and the fourth

struct TrafficCase {
  const char* name;
  std::string strategy;
  int ranks, ranks_per_node;
  std::vector<std::string> settings = {};
  int micro_batches = 1;
};

// bytes[source][destination]
using Matrix = std::vector<std::vector<int64_t>>;

Matrix zeros(int ranks) {
  return Matrix(static_cast<size_t>(ranks), std::vector<int64_t>(static_cast<size_t>(ranks), 0));
}

void add(Matrix& bytes, int from, int to, int64_t count) {
  bytes[static_cast<size_t>(from)][static_cast<size_t>(to)] += count;
}

// The placements of a run's last step, as one domain sees them.
struct Plans {
  std::vector<std::vector<int>> owners;  // [layer][expert]
  std::vector<Placement> placements;     // [layer]
  std::vector<int> members;              // rank of each place
  collectives::Topology topology;
  int64_t chunk_bytes = 0, segment_bytes = 0;
};

class TrafficTest : public testing::TestWithParam<TrafficCase> {
 protected:
  void SetUp() override {
    const TrafficCase& test = GetParam();
    std::vector<std::string> settings = {
        "strategy=" + test.strategy,
        "router.source=zipf:1.2",
        "model.layers=4",
        "model.experts=7",
        "fssdp.overlap_degree=3",
        "fssdp.memory_capacity=2",
        "fssdp.reshard_every=2",
        "fssdp.exchange_algorithm=flat",
        "train.global_batch=24",
        "train.micro_batch=" + std::to_string(24 / test.ranks / test.micro_batches)};
    settings.insert(settings.end(), test.settings.begin(), test.settings.end());
    config_ = run_.config(settings);
    result_ = run_ranks(config_, {.ranks = test.ranks,
                                  .ranks_per_node = test.ranks_per_node,
                                  .steps = kSteps,
                                  .finish = [this](Engine& engine) { keep_plans(engine); }});
  }

  void keep_plans(Engine& engine) {
    sharding::exec::ExpertRuntime& runtime = *engine.sharded()->training().experts;
    Plans plans;
    const sharding::exec::ExpertChunks& chunks = runtime.store().chunks();
    for (int layer = 0; layer < static_cast<int>(chunks.layers); ++layer) {
      const auto owners = engine.sharded()->owners().layer(layer);
      plans.owners.emplace_back(owners.begin(), owners.end());
      plans.placements.push_back(runtime.materializer().placement(layer));
    }
    plans.members = runtime.lanes().members;
    plans.topology = runtime.lanes().topology;
    plans.chunk_bytes = chunks.elements * static_cast<int64_t>(sizeof(Real));
    plans.segment_bytes = runtime.lanes().sparse.backend().segment_bytes();
    const std::lock_guard lock(mutex_);
    if (std::ranges::none_of(domains_,
                             [&](const Plans& seen) { return seen.members == plans.members; }))
      domains_.push_back(std::move(plans));
  }

  bool releases() const {
    return GetParam().strategy == "fssdp-rm" || GetParam().strategy == "fsdp";
  }
  // Re-materialization brings a layer for each of its passes in each micro-batch, but the last
  // layers of the forward pass are still there when the backward pass begins with them.
  int64_t gathers(int64_t layer, int64_t layers) const {
    if (!releases()) return 1;
    const int64_t rings = std::min(layers, 1 + config_.fssdp.prefetch_depth);
    return GetParam().micro_batches * (layer < layers - rings ? 2 : 1);
  }
  int64_t reductions() const { return releases() ? GetParam().micro_batches : 1; }

  Matrix counted(TrafficKind kind, bool received) const {
    Matrix bytes = zeros(GetParam().ranks);
    for (int rank = 0; rank < GetParam().ranks; ++rank)
      for (int peer = 0; peer < GetParam().ranks; ++peer) {
        const LinkBytes link = result_.last[static_cast<size_t>(rank)].own_traffic.link(kind, peer);
        received ? add(bytes, peer, rank, link.received) : add(bytes, rank, peer, link.sent);
      }
    return bytes;
  }
  void expect_counted(TrafficKind kind, const Matrix& expected) const {
    EXPECT_EQ(counted(kind, false), expected) << name_of(kind);
    EXPECT_EQ(counted(kind, true), expected) << name_of(kind);
  }

  // Every copy once per gather from its owner, and back.
  void placed(Matrix& gathered, Matrix& reduced) const {
    for (const Plans& plans : domains_)
      for (size_t l = 0; l < plans.placements.size(); ++l)
        for (int e = 0; e < plans.placements[l].experts(); ++e) {
          const int owner = plans.owners[l][static_cast<size_t>(e)];
          for (int holder : plans.placements[l].holders(e)) {
            if (holder == owner) continue;
            const int from = plans.members[static_cast<size_t>(owner)];
            const int to = plans.members[static_cast<size_t>(holder)];
            add(gathered, from, to,
                plans.chunk_bytes * gathers(static_cast<int64_t>(l), std::ssize(plans.placements)));
            add(reduced, to, from, plans.chunk_bytes * reductions());
          }
        }
  }

  // The same along the transfers of the schedules.
  void scheduled(Matrix& gathered, Matrix& reduced) const {
    for (const Plans& plans : domains_)
      for (size_t l = 0; l < plans.placements.size(); ++l) {
        const std::vector<int64_t> bytes(plans.owners[l].size(), plans.chunk_bytes);
        const collectives::SparseRequest request{
            .owners = plans.owners[l],
            .materialized = &plans.placements[l],
            .chunk_bytes = bytes,
            .topology = &plans.topology,
            .algorithm = collectives::sparse_algorithm(config_.fssdp.sparse_algorithm),
            .segment_bytes = plans.segment_bytes};
        const auto follow = [&](const collectives::SparseSchedule& schedule, Matrix& to,
                                int64_t times) {
          for (const collectives::Transfer& transfer : schedule.transfers)
            add(to, plans.members[static_cast<size_t>(transfer.source)],
                plans.members[static_cast<size_t>(transfer.destination)], times * transfer.bytes);
        };
        follow(plan_gather(request), gathered,
               gathers(static_cast<int64_t>(l), std::ssize(plans.placements)));
        follow(plan_reduce(request), reduced, reductions());
      }
  }

  static int64_t sum(const Matrix& bytes) {
    int64_t total = 0;
    for (const auto& row : bytes)
      for (int64_t count : row) total += count;
    return total;
  }

  TinyRun run_;
  RunConfig config_;
  RankResult result_;
  std::mutex mutex_;
  std::vector<Plans> domains_;
};

TEST_P(TrafficTest, SparseBytesAreThoseOfThePlacements) {
  Matrix gathered = zeros(GetParam().ranks), reduced = gathered;
  placed(gathered, reduced);
  const bool copies = GetParam().strategy != "ep";
  EXPECT_EQ(sum(gathered) > 0, copies);
  Matrix along = zeros(GetParam().ranks), back = along;
  scheduled(along, back);
  if (config_.fssdp.sparse_algorithm == "direct") {
    expect_counted(TrafficKind::sparse_gather, gathered);
    expect_counted(TrafficKind::sparse_reduce, reduced);
  }
  expect_counted(TrafficKind::sparse_gather, along);
  expect_counted(TrafficKind::sparse_reduce, back);
  // Who relays differs; that every copy arrives, and leaves, once does not.
  const StepTraffic& traffic = result_.last.front().traffic;
  EXPECT_EQ(traffic.sent_bytes[static_cast<size_t>(TrafficKind::sparse_gather)], sum(gathered));
  EXPECT_EQ(traffic.sent_bytes[static_cast<size_t>(TrafficKind::sparse_reduce)], sum(reduced));
}

TEST_P(TrafficTest, TokenBytesAreThoseOfTheRowsThatLeave) {
  int64_t rows = 0;
  for (const StepResult& rank : result_.last) rows += rank.sharded.exchange.rows_sent;
  ASSERT_EQ(rows > 0, GetParam().strategy != "fsdp");  // which has every expert everywhere
  // Forward, and backward the other way around.
  const int64_t expected = 2 * rows * config_.model.d_model * static_cast<int64_t>(sizeof(Real));
  const StepTraffic& traffic = result_.last.front().traffic;
  EXPECT_EQ(traffic.sent_bytes[static_cast<size_t>(TrafficKind::dispatch)], expected);
  EXPECT_EQ(traffic.sent_bytes[static_cast<size_t>(TrafficKind::combine)], expected);
}

TEST_P(TrafficTest, BusiestLinkIsTheOneWithMostBytes) {
  const int ranks = GetParam().ranks;
  const int per_node = GetParam().ranks_per_node == 0 ? ranks : GetParam().ranks_per_node;
  const auto nodes = static_cast<size_t>((ranks + per_node - 1) / per_node);
  const auto node_of = [&](int rank) { return static_cast<size_t>(rank / per_node); };
  std::vector<int64_t> out_of_all(nodes), into_all(nodes);
  for (size_t k = 0; k < collectives::kTrafficKinds; ++k) {
    const Matrix bytes = counted(static_cast<TrafficKind>(k), false);
    std::vector<int64_t> out(nodes), into(nodes);
    for (int from = 0; from < ranks; ++from)
      for (int to = 0; to < ranks; ++to) {
        if (node_of(from) == node_of(to)) continue;
        const int64_t count = bytes[static_cast<size_t>(from)][static_cast<size_t>(to)];
        out[node_of(from)] += count;
        into[node_of(to)] += count;
      }
    const int64_t busiest = std::max(std::ranges::max(out), std::ranges::max(into));
    for (const StepResult& rank : result_.last) {
      EXPECT_EQ(rank.traffic.busiest_link_bytes[k], busiest) << k;
      EXPECT_EQ(rank.traffic.sent_bytes[k], sum(bytes)) << k;
      EXPECT_EQ(rank.traffic.between_nodes_bytes[k],
                std::accumulate(out.begin(), out.end(), int64_t{0}))
          << k;
    }
    for (size_t node = 0; node < nodes; ++node) {
      out_of_all[node] += out[node];
      into_all[node] += into[node];
    }
  }
  EXPECT_EQ(result_.last.front().traffic.busiest_link_bytes_of_all,
            std::max(std::ranges::max(out_of_all), std::ranges::max(into_all)));
}

const std::string kDirect = "fssdp.sparse_algorithm=direct";
const std::string kTree = "fssdp.sparse_algorithm=tree";

INSTANTIATE_TEST_SUITE_P(
    Strategies, TrafficTest,
    testing::Values(
        TrafficCase{"fssdp_2", "fssdp", 2, 0, {kDirect}},
        TrafficCase{"fssdp_3", "fssdp", 3, 0, {kDirect}},
        TrafficCase{"fssdp_4_in_nodes", "fssdp", 4, 2, {kDirect}},
        TrafficCase{"fssdp_8_in_nodes", "fssdp", 8, 2, {kDirect}},
        TrafficCase{"fssdp_4_in_micro_batches", "fssdp", 4, 2, {kDirect}, 3},
        TrafficCase{"fssdp_4_in_domains", "fssdp", 4, 2, {kDirect, "fssdp.domain=node"}},
        TrafficCase{"fssdprm_3", "fssdp-rm", 3, 0, {kDirect}},
        TrafficCase{"fssdprm_4_at_once", "fssdp-rm", 4, 2, {kDirect, "fssdp.prefetch_depth=0"}},
        TrafficCase{"fssdprm_8_in_micro_batches", "fssdp-rm", 8, 2, {kDirect}, 3},
        TrafficCase{"fsdp_4", "fsdp", 4, 2, {kDirect}}, TrafficCase{"ep_3", "ep", 3, 0, {kDirect}},
        TrafficCase{"ep_4_in_nodes", "ep", 4, 2, {kDirect}},
        TrafficCase{"tree_fssdp_8", "fssdp", 8, 2, {kTree}},
        TrafficCase{"tree_fssdprm_8", "fssdp-rm", 8, 4, {kTree}, 3},
        TrafficCase{"tree_fsdp_8", "fsdp", 8, 2, {kTree}},
        TrafficCase{"group_fssdp_8", "fssdp", 8, 2, {"fssdp.sparse_algorithm=group"}}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace hecate::launcher
