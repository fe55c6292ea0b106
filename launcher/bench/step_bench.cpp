#include "launcher/bench/step_bench.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <ostream>

#include "models/summary.h"
#include "runtime/base/rng.h"
#include "runtime/kernels/cpu/blas.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/peak.h"

namespace hecate::launcher {
namespace {

using Json = nlohmann::ordered_json;

Json spread(std::vector<double> values) {
  std::ranges::sort(values);
  return {{"median", values[values.size() / 2]}, {"min", values.front()}, {"max", values.back()}};
}

void fill_random(Batch& batch, int64_t vocabulary, uint64_t step) {
  const CounterRng rng(step, stream_of("bench.tokens"));
  for (int64_t i = 0; i < batch.tokens(); ++i) {
    batch.tokens_at(0)[i] = static_cast<int32_t>(
        rng.below(static_cast<uint64_t>(2 * i), static_cast<uint64_t>(vocabulary)));
    batch.targets_at(0)[i] = static_cast<int32_t>(
        rng.below(static_cast<uint64_t>(2 * i + 1), static_cast<uint64_t>(vocabulary)));
  }
}

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

// Flops of one step by kind, as the graph states them.
std::array<double, graph::kOpKinds> flops_by_kind(const graph::Executor& executor, double runs) {
  std::array<double, graph::kOpKinds> flops{};
  const auto& ops = executor.graph().ops();
  for (const graph::Op& op : ops) {
    double& sum = flops[static_cast<size_t>(op.kind)];
    sum += runs * op.cost.flops;
    if (op.cost.rows.valid())
      sum += runs * op.cost.flops_per_row *
             static_cast<double>(executor.rows()[static_cast<size_t>(op.cost.rows.index)]);
  }
  return flops;
}

Json breakdown(const Engine& engine, const std::vector<StepResult>& results, double peak) {
  const double runs = static_cast<double>(engine.options().global_batch) /
                      static_cast<double>(engine.options().micro_batch);
  const auto flops = flops_by_kind(engine.step_executor(), runs);
  Json kinds = Json::object();
  for (size_t kind = 0; kind < graph::kOpKinds; ++kind) {
    std::vector<double> seconds;
    for (const StepResult& result : results) seconds.push_back(result.seconds_by_kind[kind]);
    std::ranges::sort(seconds);
    const double median = seconds[seconds.size() / 2];
    if (median <= 0) continue;
    kinds[std::string(graph::name_of(static_cast<graph::OpKind>(kind)))] = {
        {"seconds", median},
        {"gflops", flops[kind] / median / 1e9},
        {"of_peak", flops[kind] / median / peak}};
  }
  return kinds;
}

}  // namespace

void bench_step(const StepBenchOptions& options, std::ostream& out) {
  Engine engine(options.engine);
  CpuStream stream(engine.compute_pool());
  std::vector<double> tokens_per_s, flops_per_s, ratios, peaks;
  std::vector<StepResult> results;
  for (int64_t i = 0; i < options.warmup + options.repeats; ++i) {
    fill_random(engine.batch(), options.engine.model.vocabulary, static_cast<uint64_t>(i));
    const double peak = kernels::measure_peak_flops(stream, options.peak_seconds);
    const StepResult result = engine.train_step(i, 1e-4, std::numeric_limits<double>::infinity());
    HECATE_CHECK(result.updated, "bench step: the loss or a gradient is not finite");
    if (i < options.warmup) continue;
    results.push_back(result);
    peaks.push_back(peak);
    tokens_per_s.push_back(static_cast<double>(result.tokens) / result.seconds);
    flops_per_s.push_back(result.flops / result.seconds);
    ratios.push_back(flops_per_s.back() / peak);
  }
  const models::ModelSummary predicted = models::summarize(
      options.engine.model, options.engine.router,
      {.sequences = options.engine.micro_batch, .sequence = options.engine.model.sequence});
  const double peak = spread(peaks)["median"];
  Json line;
  line["bench"] = "step";
  line["tokens_per_s"] = spread(tokens_per_s);
  line["flops_per_s"] = spread(flops_per_s);
  line["peak_flops_per_s"] = spread(peaks);
  line["of_peak"] = spread(ratios);
  line["breakdown"] = breakdown(engine, results, peak);
  line["peak_bytes"] = engine.ledger().peak_total();
  line["predicted_bytes"] = total(predicted.bytes);
  line["threads"] = options.engine.threads;
  line["isa"] = kernels::cpu::name_of(kernels::cpu::active_isa());
  line["blas"] = kernels::cpu::blas_name();
  line["cpu"] = cpu_name();
  out << line.dump() << '\n';
}

}  // namespace hecate::launcher
