#include <algorithm>
#include <chrono>
#include <thread>

#include "collectives/bench/context.h"
#include "collectives/sparse.h"
#include "collectives/token_exchange.h"

namespace hecate::collectives::bench {
namespace {

// Every rank owns one chunk, which everybody gets.
struct Bulk {
  Bulk(const Context& context, int64_t bytes) : comm(context.world.on_lane(LaneKind::sparse)) {
    const int n = comm.size();
    Placement everywhere(n, n);
    std::vector<int> owners;
    for (int e = 0; e < n; ++e) {
      owners.push_back(e);
      everywhere.add_everywhere(e);
      chunks.emplace_back(static_cast<size_t>(bytes / 4), static_cast<float>(e));
      data.push_back(chunks.back().data());
    }
    const std::vector<int64_t> sizes(static_cast<size_t>(n), bytes);
    schedule = plan_gather({.owners = owners,
                            .materialized = &everywhere,
                            .chunk_bytes = sizes,
                            .topology = &context.topology,
                            .algorithm = SparseAlgorithm::automatic,
                            .segment_bytes = 128 << 10});
  }
  Work start() const { return sparse_all_gather(comm, schedule, data, DType::f32, DType::f32); }

  Communicator comm;
  SparseSchedule schedule;
  std::vector<std::vector<float>> chunks;
  std::vector<void*> data;
};

// Fused multiply-adds that cannot be optimised away; about a millisecond per 10^6 steps.
float compute(int64_t steps) {
  float lanes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (int64_t i = 0; i < steps; ++i)
    for (float& lane : lanes) lane = lane * 0.999999f + 1e-6f;
  float sum = 0;
  for (float lane : lanes) sum += lane;
  return sum;
}

// Steps of compute() that take about `seconds` on this rank while nothing else runs.
int64_t steps_for(double seconds) {
  constexpr int64_t kProbe = 2'000'000;
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    const double begin = now();
    verify(compute(kProbe) > 0, "overlap compute");
    best = std::min(best, now() - begin);
  }
  return static_cast<int64_t>(kProbe * seconds / best);
}

void overlap_with(const Context& context, const Bulk& bulk, const char* device, double gather,
                  const std::function<void()>& work) {
  const int repetitions = context.options.repetitions;
  const double alone = measure(context.world, repetitions, work);
  const double both = measure(context.world, repetitions, [&] {
    const Work transfer = bulk.start();
    work();
    transfer.wait();
  });
  Figure("overlap", device)
      .add("gather_ms", gather * 1e3)
      .add("compute_ms", alone * 1e3)
      .add("both_ms", both * 1e3)
      .add("over_longer", both / std::max(gather, alone))
      .report(context);
}

}  // namespace

void run_overlap(const Context& context) {
  constexpr int64_t kBytes = 8 << 20;
  const Bulk bulk(context, kBytes);
  const double gather =
      measure(context.world, context.options.repetitions, [&] { bulk.start().wait(); });
  overlap_with(context, bulk, "paced", gather,
               [&] { std::this_thread::sleep_for(std::chrono::duration<double>(gather)); });
  const int64_t steps = steps_for(gather);
  overlap_with(context, bulk, "real", gather,
               [&] { verify(compute(steps) > 0, "overlap compute"); });
}

void run_tokens(const Context& context) {
  const Communicator dispatch = context.world.on_lane(LaneKind::dispatch);
  const Bulk bulk(context, 16 << 20);
  const auto n = static_cast<size_t>(dispatch.size());
  constexpr int64_t kRowBytes = 1024;
  const double segment_seconds =
      static_cast<double>(128 << 10) / context.topology.between.bytes_per_s;
  for (const int64_t rows : {int64_t{16}, int64_t{128}}) {
    const std::vector<int64_t> counts(n * n, rows);
    const auto plan =
        plan_token_exchange(counts, kRowBytes, context.topology, ExchangeAlgorithm::automatic);
    const size_t bytes = n * static_cast<size_t>(rows * kRowBytes);
    const std::vector<std::byte> in(bytes, std::byte{7});
    std::vector<std::byte> out(bytes);
    const auto exchange = [&] {
      dispatch_rows(dispatch, plan, in.data(), out.data(), kRowBytes).wait();
    };
    const double alone = measure(dispatch, context.options.repetitions, exchange);
    std::vector<double> beside;
    for (int i = 0; i <= context.options.repetitions; ++i) {
      dispatch.barrier().wait();
      const Work transfer = bulk.start();
      // Let the bulk fill its queues before the urgent exchange comes.
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      const double begin = now();
      exchange();
      const double seconds = now() - begin;
      transfer.wait();
      beside.push_back(slowest(dispatch, seconds));
    }
    const double together = median(beside);
    Figure("tokens", std::string(name_of(plan.algorithm)))
        .add("bytes_per_pair", static_cast<double>(rows * kRowBytes))
        .add("alone_ms", alone * 1e3)
        .add("beside_bulk_ms", together * 1e3)
        .add("segment_ms", segment_seconds * 1e3)
        .add("allowed_ms", (1.3 * alone + segment_seconds) * 1e3)
        .report(context);
  }
}

}  // namespace hecate::collectives::bench
