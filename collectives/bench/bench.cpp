#include "collectives/bench/bench.h"

#include <algorithm>
#include <chrono>
#include <iomanip>
#include <sstream>

#include "collectives/bench/context.h"
#include "collectives/measure.h"
#include "runtime/base/error.h"

namespace hecate::collectives::bench {

Figure::Figure(const std::string& suite, const std::string& name) {
  add("suite", suite);
  add("name", name);
}

Figure& Figure::add(std::string key, double value) {
  std::ostringstream text;
  text << std::setprecision(5) << value;
  fields_.emplace_back(std::move(key), text.str());
  return *this;
}

Figure& Figure::add(std::string key, const std::string& value) {
  fields_.emplace_back(std::move(key), '"' + value + '"');
  return *this;
}

void Figure::report(const Context& context) const {
  if (context.world.rank() != 0) return;
  std::ostringstream json, row;
  json << '{';
  for (size_t i = 0; i < fields_.size(); ++i) {
    json << (i > 0 ? ", " : "") << '"' << fields_[i].first << "\": " << fields_[i].second;
    if (i < 2) {
      row << fields_[i].second.substr(1, fields_[i].second.size() - 2) << ' ';
    } else {
      row << ' ' << fields_[i].first << ' ' << fields_[i].second;
    }
  }
  json << ", \"ranks\": " << context.world.size() << ", \"nodes\": " << context.topology.nodes()
       << ", \"backend\": \"" << context.world.backend_name() << "\"}\n";
  if (context.options.jsonl != nullptr) *context.options.jsonl << json.str() << std::flush;
  if (context.options.table != nullptr) *context.options.table << row.str() << std::endl;
}

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

double measure(const Communicator& world, int repetitions, const std::function<void()>& body) {
  std::vector<double> times;
  for (int i = 0; i <= repetitions; ++i) {
    world.barrier().wait();
    const double begin = now();
    body();
    const double seconds = slowest(world, now() - begin);
    if (i > 0) times.push_back(seconds);  // the first one warms up
  }
  return median(times);
}

void verify(bool good, const std::string& figure) {
  if (!good) throw NumericError("bench collectives: wrong result in " + figure);
}

void run(const Communicator& world, const NativeCall& native, const Options& options) {
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
                        .topology = measure_topology(world, {.seconds = 1.0, .cache_path = {}})};
  Figure("topology", "measured")
      .add("inside_gb_per_s", context.topology.inside.bytes_per_s * 1e-9)
      .add("inside_us", context.topology.inside.latency_s * 1e6)
      .add("between_gb_per_s", context.topology.between.bytes_per_s * 1e-9)
      .add("between_us", context.topology.between.latency_s * 1e6)
      .report(context);
  for (const std::string& name : options.suites) find(name)(context);
}

}  // namespace hecate::collectives::bench
