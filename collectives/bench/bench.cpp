#include "collectives/bench/bench.h"

#include <algorithm>
#include <chrono>
#include <fstream>

#include "collectives/bench/context.h"
#include "collectives/measure.h"
#include "runtime/base/error.h"

namespace hecate::collectives::bench {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

double slowest(const Communicator& world, double seconds) {
  double result = 0;
  world.all_reduce(&seconds, &result, 1, DType::f64, ReduceOp::max).wait();
  return result;
}

bool one_clock(const Communicator& world) {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  const auto mine = static_cast<int64_t>(std::hash<std::string>{}(id));
  int64_t least = 0, most = 0;
  world.all_reduce(&mine, &least, 1, DType::i64, ReduceOp::min).wait();
  world.all_reduce(&mine, &most, 1, DType::i64, ReduceOp::max).wait();
  return !id.empty() && least == most;
}

double time_once(const Communicator& world, const std::function<void()>& body) {
  world.barrier().wait();
  const double begin = now();
  body();
  return slowest(world, now() - begin);
}

double measure(const Communicator& world, int repetitions, const std::function<void()>& body) {
  time_once(world, body);
  std::vector<double> times;
  for (int i = 0; i < repetitions; ++i) times.push_back(time_once(world, body));
  return median(times);
}

void verify(bool good, const std::string& figure) {
  if (!good) throw NumericError("bench collectives: wrong result in " + figure);
}

void run(const Communicator& world, const NativeCall& native, const Options& options,
         Report& report) {
  using Suite = void (*)(const Context&);
  const std::vector<std::pair<std::string, Suite>> suites = {{"dense", run_dense},
                                                             {"sparse", run_sparse},
                                                             {"overlap", run_overlap},
                                                             {"tokens", run_tokens},
                                                             {"plan", run_plan}};
  const auto find = [&](const std::string& name) {
    const auto at = std::find_if(suites.begin(), suites.end(),
                                 [&](const auto& suite) { return suite.first == name; });
    HECATE_CHECK(at != suites.end(), "bench collectives: unknown suite '", name,
                 "', expected dense, sparse, overlap, tokens or plan");
    return at->second;
  };
  for (const std::string& name : options.suites) find(name);
  const Context context{.world = world,
                        .native = native,
                        .options = options,
                        .output = report,
                        .topology = measure_topology(world, {.seconds = 1.0, .cache_path = {}})};
  context.report(Record("topology", "measured")
                     .add("ranks", world.size())
                     .add("nodes", context.topology.nodes())
                     .add("backend", world.backend_name())
                     .add("inside_gb_per_s", context.topology.inside.bytes_per_s * 1e-9)
                     .add("inside_us", context.topology.inside.latency_s * 1e6)
                     .add("between_gb_per_s", context.topology.between.bytes_per_s * 1e-9)
                     .add("between_us", context.topology.between.latency_s * 1e6));
  for (const std::string& name : options.suites) find(name)(context);
}

}  // namespace hecate::collectives::bench
