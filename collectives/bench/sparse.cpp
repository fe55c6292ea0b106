#include "collectives/sparse.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "collectives/bench/context.h"
#include "collectives/bench/trace.h"
#include "runtime/base/error.h"

namespace hecate::collectives::bench {
namespace {

constexpr int kExperts = 16;
constexpr int kHot = 4;
constexpr int kTraceLayer = 12;

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

// Two extra slots per rank shared out by load, as in algorithm 1 of the paper.
SparseCase loaded_case(const Topology& topology, std::string name,
                       const std::vector<double>& loads) {
  const int ranks = topology.ranks();
  SparseCase test{
      .name = std::move(name), .owners = {}, .materialized = {kExperts, topology.ranks()}};
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

// Load falls with the expert's place in a scattered order.
SparseCase zipf_case(const Topology& topology) {
  constexpr double kExponent = 1.2;
  std::vector<double> loads;
  for (int e = 0; e < kExperts; ++e)
    loads.push_back(std::pow((e * 7 + 3) % kExperts + 1, -kExponent));
  return loaded_case(topology, "zipf", loads);
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
                              .segment_bytes = kSegmentBytes};
  return reduce ? plan_reduce(request) : plan_gather(request);
}

// The algorithms in turn, so that a change of the machine's mood meets all of them.
void run_case(const Context& context, const Communicator& sparse, const SparseCase& test,
              int64_t bytes, bool reduce, Buffers& buffers) {
  const std::vector<const void*> readable(buffers.in_data.begin(), buffers.in_data.end());
  struct Candidate {
    SparseSchedule schedule;
    std::vector<double> times;
  };
  std::vector<Candidate> candidates;
  for (const std::string& name : context.options.algorithms)
    candidates.push_back({plan_of(context, test, reduce, sparse_algorithm(name), bytes), {}});
  for (int i = 0; i <= context.options.repetitions; ++i) {
    for (Candidate& each : candidates) {
      const SparseSchedule& schedule = each.schedule;
      const double seconds = time_once(sparse, [&] {
        const Work work =
            reduce ? sparse_reduce_scatter(sparse, schedule, readable, buffers.out_data, DType::f32)
                   : sparse_all_gather(sparse, schedule, buffers.in_data, DType::f32, DType::f32);
        work.wait();
      });
      verify_pair(test, buffers, reduce);
      if (i > 0) each.times.push_back(seconds);
    }
  }
  const auto chosen = plan_of(context, test, reduce, SparseAlgorithm::automatic, bytes).algorithm;
  double best = median(candidates.front().times);
  for (const Candidate& each : candidates) best = std::min(best, median(each.times));
  for (const auto& [schedule, times] : candidates) {
    const double seconds = median(times), bound = schedule.lower_bound_seconds;
    context.report(Record("sparse", reduce ? "spRS" : "spAG")
                       .add("placement", test.name)
                       .add("algorithm", name_of(schedule.algorithm))
                       .add("expert_bytes", static_cast<double>(bytes))
                       .add("ms", seconds * 1e3)
                       .add("bound_ms", bound * 1e3)
                       .add("modelled_ms", schedule.modelled_seconds * 1e3)
                       .add("bound_over_measured", bound / seconds)
                       .add("over_best", seconds / best)
                       .add("auto", chosen == schedule.algorithm ? 1.0 : 0.0));
  }
}

}  // namespace

void run_sparse(const Context& context) {
  const Communicator sparse = context.world.on_lane(LaneKind::sparse);
  std::vector<SparseCase> cases = {hot_case(context.topology, true),
                                   hot_case(context.topology, false), zipf_case(context.topology)};
  if (!context.options.trace_path.empty())
    for (int iteration : {20, 120})
      cases.push_back(loaded_case(context.topology, concat("trace_", iteration),
                                  trace_loads(context.options.trace_path, iteration, kTraceLayer)));
  for (const SparseCase& test : cases) {
    for (int64_t bytes : context.options.expert_bytes) {
      Buffers buffers = buffers_of(test, sparse.rank(), bytes);
      for (const bool reduce : {false, true})
        run_case(context, sparse, test, bytes, reduce, buffers);
    }
  }
}

}  // namespace hecate::collectives::bench
