#include "collectives/sparse.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>

#include "collectives/bench/context.h"
#include "runtime/base/error.h"

namespace hecate::collectives::bench {
namespace {

constexpr int kExperts = 16;
constexpr int kHot = 4;

struct SparseCase {
  std::string name;
  std::vector<int> owners;
  Placement materialized{0, 1};
};

// The four heaviest experts everywhere; their owners on one node, or one on each.
SparseCase hot_case(const Topology& topology, bool one_node) {
  const int ranks = topology.ranks();
  SparseCase test{.name = one_node ? "hot_on_one_node" : "hot_spread",
                  .owners = {},
                  .materialized = {kExperts, ranks}};
  const int per_node = std::max(1, ranks / topology.nodes());
  for (int e = 0; e < kExperts; ++e) {
    const bool hot = one_node ? e < kHot : e % (kExperts / kHot) == 0;
    const int owner = one_node && hot ? e % per_node : e * ranks / kExperts;
    test.owners.push_back(owner);
    test.materialized.add(e, owner);
    if (hot) test.materialized.add_everywhere(e);
  }
  return test;
}

// Loads [32] of one iteration and layer of the recorded trace (uint16 [251,16,24,32]).
std::vector<double> trace_loads(const std::string& path, int iteration, int layer) {
  constexpr int kRanks = 16, kLayers = 24, kTraceExperts = 32;
  std::ifstream file(path, std::ios::binary);
  char head[10] = {};
  file.read(head, sizeof head);
  if (!file || std::memcmp(head, "\x93NUMPY", 6) != 0)
    throw IoError(concat("no .npy trace at ", path));
  const auto header =
      static_cast<unsigned char>(head[8]) + 256 * static_cast<unsigned char>(head[9]);
  std::vector<double> loads(kTraceExperts);
  for (int rank = 0; rank < kRanks; ++rank) {
    std::vector<uint16_t> row(kTraceExperts);
    const int64_t at =
        ((static_cast<int64_t>(iteration) * kRanks + rank) * kLayers + layer) * kTraceExperts;
    file.seekg(10 + header + at * 2);
    file.read(reinterpret_cast<char*>(row.data()), kTraceExperts * 2);
    if (!file) throw IoError(concat(path, " ends before iteration ", iteration));
    for (int e = 0; e < kTraceExperts; ++e)
      loads[static_cast<size_t>(e)] += row[static_cast<size_t>(e)];
  }
  return loads;
}

// Neighbours added up to 16 experts; two slots per rank shared out by load, as in algorithm 1.
SparseCase trace_case(const Topology& topology, const std::string& path, int iteration, int layer) {
  const auto wide = trace_loads(path, iteration, layer);
  const int ranks = topology.ranks();
  SparseCase test{.name = concat("trace_", iteration, "_", layer),
                  .owners = {},
                  .materialized = {kExperts, ranks}};
  std::vector<double> loads;
  for (size_t e = 0; e < kExperts; ++e) loads.push_back(wide[2 * e] + wide[2 * e + 1]);
  std::vector<int> order(kExperts);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return loads[static_cast<size_t>(a)] > loads[static_cast<size_t>(b)];
  });
  for (int e = 0; e < kExperts; ++e) {
    test.owners.push_back(e * ranks / kExperts);
    test.materialized.add(e, test.owners.back());
  }
  const double total = std::accumulate(loads.begin(), loads.end(), 0.0);
  int next = 0;
  for (int e : order) {
    const auto replicas =
        static_cast<int>(std::lround(2 * ranks * loads[static_cast<size_t>(e)] / total));
    for (int i = 0; i < std::min(replicas, ranks - 1); ++i)
      test.materialized.add(e, next++ % ranks);
  }
  return test;
}

struct Buffers {
  std::vector<std::vector<float>> in, out;
  std::vector<void*> in_data, out_data;
};

Buffers buffers_of(const SparseCase& test, int rank, int64_t bytes) {
  Buffers buffers;
  const auto count = static_cast<size_t>(bytes / 4);
  for (int e = 0; e < kExperts; ++e) {
    const bool held = test.materialized.holds(e, rank);
    const bool owned = test.owners[static_cast<size_t>(e)] == rank;
    buffers.in.emplace_back(held ? count : 0, owned ? static_cast<float>(e + 1) : 0.0f);
    const bool shared = test.materialized.holders(e).size() > 1;
    buffers.out.emplace_back(owned && shared ? count : 0);
    buffers.in_data.push_back(held ? buffers.in.back().data() : nullptr);
    // Where nobody else holds the expert its gradient is in place, as in training.
    void* const sum = shared ? buffers.out.back().data() : buffers.in.back().data();
    buffers.out_data.push_back(owned ? sum : nullptr);
  }
  return buffers;
}

// After the gather every holder has e + 1, so the reduction gives holders * (e + 1).
void verify_pair(const SparseCase& test, const Buffers& buffers, bool reduced) {
  for (size_t e = 0; e < kExperts; ++e) {
    const auto value = static_cast<float>(e + 1);
    const auto& in = buffers.in[e];
    const auto& out = buffers.out[e];
    if (!in.empty())
      verify(in.front() == value && in[in.size() / 2] == value && in.back() == value, test.name);
    const float sum =
        value * static_cast<float>(test.materialized.holders(static_cast<int>(e)).size());
    if (reduced && !out.empty())
      verify(out.front() == sum && out[out.size() / 2] == sum && out.back() == sum, test.name);
  }
}

SparseSchedule plan_of(const Context& context, const SparseCase& test, bool reduce,
                       SparseAlgorithm algorithm, int64_t bytes) {
  const std::vector<int64_t> sizes(kExperts, bytes);
  const SparseRequest request{.owners = test.owners,
                              .materialized = &test.materialized,
                              .chunk_bytes = sizes,
                              .topology = &context.topology,
                              .algorithm = algorithm,
                              .segment_bytes = 128 << 10};
  return reduce ? plan_reduce(request) : plan_gather(request);
}

void run_case(const Context& context, const Communicator& sparse, const SparseCase& test,
              int64_t bytes) {
  Buffers buffers = buffers_of(test, sparse.rank(), bytes);
  const std::vector<const void*> readable(buffers.in_data.begin(), buffers.in_data.end());
  for (const bool reduce : {false, true}) {
    const auto chosen = plan_of(context, test, reduce, SparseAlgorithm::automatic, bytes).algorithm;
    for (auto algorithm :
         {SparseAlgorithm::tree, SparseAlgorithm::direct, SparseAlgorithm::group}) {
      const SparseSchedule schedule = plan_of(context, test, reduce, algorithm, bytes);
      const double seconds = measure(sparse, context.options.repetitions, [&] {
        const Work work =
            reduce ? sparse_reduce_scatter(sparse, schedule, readable, buffers.out_data, DType::f32)
                   : sparse_all_gather(sparse, schedule, buffers.in_data, DType::f32, DType::f32);
        work.wait();
      });
      verify_pair(test, buffers, reduce);
      Figure("sparse", reduce ? "spRS" : "spAG")
          .add("placement", test.name)
          .add("algorithm", std::string(name_of(algorithm)))
          .add("expert_bytes", static_cast<double>(bytes))
          .add("ms", seconds * 1e3)
          .add("bound_ms", schedule.lower_bound_seconds * 1e3)
          .add("modelled_ms", schedule.modelled_seconds * 1e3)
          .add("bound_over_measured", schedule.lower_bound_seconds / seconds)
          .add("auto", chosen == algorithm ? 1.0 : 0.0)
          .report(context);
    }
  }
}

}  // namespace

void run_sparse(const Context& context) {
  const Communicator sparse = context.world.on_lane(LaneKind::sparse);
  std::vector<SparseCase> cases = {hot_case(context.topology, true),
                                   hot_case(context.topology, false)};
  if (!context.options.trace_path.empty())
    for (int iteration : {20, 120})
      cases.push_back(trace_case(context.topology, context.options.trace_path, iteration, 12));
  for (const SparseCase& test : cases)
    for (int64_t bytes : context.options.expert_bytes) run_case(context, sparse, test, bytes);
}

}  // namespace hecate::collectives::bench
