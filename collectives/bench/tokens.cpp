#include <algorithm>
#include <chrono>
#include <thread>

#include "collectives/bench/bulk.h"
#include "collectives/token_exchange.h"

namespace hecate::collectives::bench {
namespace {

constexpr int64_t kRowBytes = 1024;

struct Exchange {
  Exchange(const Context& context, int64_t rows)
      : comm(context.world.on_lane(LaneKind::dispatch)),
        in(static_cast<size_t>(comm.size() * rows * kRowBytes)),
        out(in.size()) {
    const auto n = static_cast<size_t>(comm.size());
    const std::vector<int64_t> counts(n * n, rows);
    plan = plan_token_exchange(counts, kRowBytes, context.topology, ExchangeAlgorithm::automatic);
    std::fill(in.begin(), in.end(), static_cast<std::byte>(comm.rank() + 1));
  }
  void run() { dispatch_rows(comm, plan, in.data(), out.data(), kRowBytes).wait(); }
  bool correct() const {
    const auto block = out.size() / static_cast<size_t>(comm.size());
    for (size_t i = 0; i < out.size(); ++i)
      if (out[i] != static_cast<std::byte>(i / block + 1)) return false;
    return true;
  }

  Communicator comm;
  TokenPlan plan;
  std::vector<std::byte> in, out;
};

// From the last rank's call to the last rank's return: ranks that wake up late are no cost of the
// exchange. Where clocks differ, the longest of the ranks' own times.
double exchange_once(const Context& context, Exchange& exchange, bool shared_clock,
                     const std::function<void()>& finish) {
  const double begin = now();
  exchange.run();
  const double end = now();
  finish();
  verify(exchange.correct(), "tokens");
  const double longest = slowest(context.world, end - begin);
  const double last_return = slowest(context.world, end);
  const double last_call = slowest(context.world, begin);
  return shared_clock ? last_return - last_call : longest;
}

double time_alone(const Context& context, Exchange& exchange, bool shared_clock) {
  std::vector<double> times;
  for (int i = 0; i <= 3 * context.options.repetitions; ++i) {
    exchange.comm.barrier().wait();
    const double seconds = exchange_once(context, exchange, shared_clock, [] {});
    if (i > 0) times.push_back(seconds);
  }
  return median(times);
}

// The same, issued while the bulk is well under way.
double time_beside(const Context& context, const Bulk& bulk, Exchange& exchange,
                   bool shared_clock) {
  constexpr auto kUnderWay = std::chrono::milliseconds(10);
  std::vector<double> times;
  for (int i = 0; i <= 3 * context.options.repetitions; ++i) {
    exchange.comm.barrier().wait();
    const Work transfer = bulk.start();
    std::this_thread::sleep_for(kUnderWay);
    const double seconds = exchange_once(context, exchange, shared_clock, [&] { transfer.wait(); });
    if (i > 0) times.push_back(seconds);
  }
  return median(times);
}

}  // namespace

void run_tokens(const Context& context) {
  const Bulk bulk(context, 4 << 20);
  const bool shared_clock = one_clock(context.world);
  const double segment = static_cast<double>(kSegmentBytes) / context.topology.between.bytes_per_s;
  for (const int64_t rows : {int64_t{16}, int64_t{128}}) {
    Exchange exchange(context, rows);
    const double alone = time_alone(context, exchange, shared_clock);
    const double beside = time_beside(context, bulk, exchange, shared_clock);
    const double gather = measure(exchange.comm, 3, [&] { bulk.start().wait(); });
    context.report(Record("tokens", name_of(exchange.plan.algorithm))
                       .add("bytes_per_pair", static_cast<double>(rows * kRowBytes))
                       .add("alone_ms", alone * 1e3)
                       .add("beside_bulk_ms", beside * 1e3)
                       .add("segment_ms", segment * 1e3)
                       .add("allowed_ms", (1.3 * alone + segment) * 1e3)
                       .add("bulk_ms", gather * 1e3));
  }
}

}  // namespace hecate::collectives::bench
