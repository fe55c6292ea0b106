#include "collectives/bench/context.h"
#include "collectives/sparse_schedule.h"
#include "runtime/base/rng.h"

namespace hecate::collectives::bench {
namespace {

// 64 ranks on 8 nodes, 256 experts: some everywhere, some on a few ranks, most on their owner.
Placement mixed_placement(const std::vector<int>& owners, int ranks, double everywhere) {
  const CounterRng rng(1, stream_of("plan bench"));
  Placement placement = Placement::from_owners(owners, ranks);
  for (int e = 0; e < placement.experts(); ++e) {
    const auto draw = static_cast<uint64_t>(e) * 8;
    if (rng.uniform(draw) < everywhere) placement.add_everywhere(e);
    for (uint64_t i = 1; i < 5; ++i)
      placement.add(e, static_cast<int>(rng.below(draw + i, static_cast<uint64_t>(ranks))));
  }
  return placement;
}

}  // namespace

void run_plan(const Context& context) {
  constexpr int kRanks = 64, kExperts = 256;
  const Topology topology = Topology::uniform(kRanks, 8, {50e9, 2e-6}, {12e9, 1e-5});
  std::vector<int> owners;
  for (int e = 0; e < kExperts; ++e) owners.push_back(e * kRanks / kExperts);
  const std::vector<int64_t> sizes(kExperts, 4 << 20);
  for (const double everywhere : {0.1, 1.0}) {
    const Placement placement = mixed_placement(owners, kRanks, everywhere);
    for (const bool reduce : {false, true}) {
      for (auto algorithm : {SparseAlgorithm::tree, SparseAlgorithm::automatic}) {
        std::vector<double> times;
        size_t transfers = 0;
        for (int i = 0; i < 50; ++i) {
          const SparseRequest request{.owners = owners,
                                      .materialized = &placement,
                                      .chunk_bytes = sizes,
                                      .topology = &topology,
                                      .algorithm = algorithm,
                                      .segment_bytes = kSegmentBytes};
          const double begin = now();
          const SparseSchedule schedule = reduce ? plan_reduce(request) : plan_gather(request);
          times.push_back(now() - begin);
          transfers = schedule.transfers.size();
        }
        context.report(Record("plan", reduce ? "spRS" : "spAG")
                           .add("algorithm", name_of(algorithm))
                           .add("ranks", kRanks)
                           .add("experts", kExperts)
                           .add("everywhere", everywhere)
                           .add("transfers", static_cast<double>(transfers))
                           .add("us", median(times) * 1e6));
      }
    }
  }
}

}  // namespace hecate::collectives::bench
