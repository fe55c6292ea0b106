#pragma once
#include <functional>
#include <string>
#include <vector>

#include "collectives/bench/bench.h"
#include "collectives/topology.h"

namespace hecate::collectives::bench {

/// What the suites share.
struct Context {
  const Communicator& world;
  const NativeCall& native;
  const Options& options;
  Report& output;
  Topology topology;

  /// Keeps a record, on rank 0.
  void report(Record record) const {
    if (world.rank() == 0) output.add(std::move(record));
  }
};

/// Pieces that bulk travels in, and the "segment" of the figures.
constexpr int64_t kSegmentBytes = 64 << 10;

/// Seconds since a fixed moment.
double now();
double median(std::vector<double> values);
/// Whether all ranks read one clock, because one kernel runs them. All ranks must call.
bool one_clock(const Communicator& world);
/// The slowest rank's time of `body`, started from a barrier.
double time_once(const Communicator& world, const std::function<void()>& body);
/// Median over repetitions of time_once, after one call to warm up.
double measure(const Communicator& world, int repetitions, const std::function<void()>& body);
/// The largest of the ranks' values.
double slowest(const Communicator& world, double seconds);
/// @throws NumericError naming the figure unless `good` holds.
void verify(bool good, const std::string& figure);

void run_dense(const Context& context);
void run_sparse(const Context& context);
void run_overlap(const Context& context);
void run_tokens(const Context& context);
void run_plan(const Context& context);

}  // namespace hecate::collectives::bench
