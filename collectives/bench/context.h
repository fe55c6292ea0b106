#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "collectives/bench/bench.h"

namespace hecate::collectives::bench {

/// What the suites share.
struct Context {
  const Communicator& world;
  const NativeCall& native;
  const Options& options;
  Topology topology;
};

/// One figure: names and numbers in order.
class Figure {
 public:
  Figure(const std::string& suite, const std::string& name);
  Figure& add(std::string key, double value);
  Figure& add(std::string key, const std::string& value);
  /// Writes it, on rank 0.
  void report(const Context& context) const;

 private:
  std::vector<std::pair<std::string, std::string>> fields_;  // value as JSON
};

/// Seconds since a fixed moment.
double now();
double median(std::vector<double> values);
/// Median over repetitions of the slowest rank's time of `body`, each started from a barrier.
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
