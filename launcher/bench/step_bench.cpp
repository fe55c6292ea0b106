#include "launcher/bench/step_bench.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <sstream>

#include "launcher/bench/machine.h"
#include "models/summary.h"
#include "runtime/base/rng.h"
#include "runtime/kernels/cpu/blas.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/peak.h"
#include "runtime/memory/aligned.h"

namespace hecate::launcher {
namespace {

using Json = nlohmann::ordered_json;

// One timed step beside what the machine gave just before it.
struct Sample {
  double flops_per_s = 0, bytes_per_s = 0;  // of the multiply-add loop and of memory
  StepResult result;
  std::array<double, graph::kOpKinds> flops{}, least_seconds{};
};

template <class Value>
Json spread(const std::vector<Sample>& samples, const Value& value) {
  std::vector<double> values;
  for (const Sample& sample : samples) values.push_back(value(sample));
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

// Work of one step by kind, as the graph states it, and the seconds that its operations need at
// least: an operation is bound by its flops or by moving each of its operands once.
void add_work(const graph::Executor& executor, double runs, Sample& sample) {
  for (const graph::Op& op : executor.graph().ops()) {
    const double times = op.when == graph::When::always ? runs : 1;
    const double rows =
        op.cost.rows.valid()
            ? static_cast<double>(executor.rows()[static_cast<size_t>(op.cost.rows.index)])
            : 0;
    const double flops = times * (op.cost.flops + rows * op.cost.flops_per_row);
    const double bytes = times * (op.cost.bytes + rows * op.cost.bytes_per_row);
    sample.flops[static_cast<size_t>(op.kind)] += flops;
    sample.least_seconds[static_cast<size_t>(op.kind)] +=
        std::max(flops / sample.flops_per_s, bytes / sample.bytes_per_s);
  }
}

Json breakdown(const std::vector<Sample>& samples) {
  Json kinds = Json::object();
  for (size_t kind = 0; kind < graph::kOpKinds; ++kind) {
    const auto seconds = [kind](const Sample& x) { return x.result.seconds_by_kind[kind]; };
    const Json measured = spread(samples, seconds);
    if (measured["median"] <= 0) continue;
    Json& line = kinds[std::string(graph::name_of(static_cast<graph::OpKind>(kind)))];
    line["seconds"] = measured;
    line["limit_seconds"] = spread(samples, [&](const Sample& x) { return x.least_seconds[kind]; });
    line["of_limit"] =
        spread(samples, [&](const Sample& x) { return x.least_seconds[kind] / seconds(x); });
    line["of_step"] =
        spread(samples, [&](const Sample& x) { return seconds(x) / x.result.seconds; });
    line["of_peak"] = spread(
        samples, [&](const Sample& x) { return x.flops[kind] / seconds(x) / x.flops_per_s; });
  }
  return kinds;
}

std::vector<Sample> time_steps(const StepBenchOptions& options, Engine& engine) {
  CpuStream stream(engine.compute_pool());
  const auto bytes = static_cast<size_t>(options.memory_elements) * sizeof(Real);
  const std::unique_ptr<std::byte, decltype(&aligned_release)> block(aligned_allocate(bytes),
                                                                     &aligned_release);
  const View<Real> memory(reinterpret_cast<Real*>(block.get()), {options.memory_elements});
  std::fill_n(memory.data(), memory.size(), Real{1});
  const double runs = static_cast<double>(options.engine.global_batch) /
                      static_cast<double>(options.engine.micro_batch);
  std::vector<Sample> samples;
  for (int64_t i = 0; i < options.warmup + options.repeats; ++i) {
    fill_random(engine.batch(), options.engine.model.vocabulary, static_cast<uint64_t>(i));
    Sample sample;
    sample.bytes_per_s = kernels::measure_memory_rate(stream, memory, options.memory_seconds);
    sample.flops_per_s = kernels::measure_peak_flops(stream, options.peak_seconds);
    sample.result = engine.train_step(i, 1e-4, std::numeric_limits<double>::infinity());
    HECATE_CHECK(sample.result.updated, "bench step: the loss or a gradient is not finite");
    if (i < options.warmup) continue;
    add_work(engine.step_executor(), runs, sample);
    add_work(engine.update_executor(), 1, sample);
    samples.push_back(sample);
  }
  return samples;
}

double median(const std::vector<Sample>& samples, const std::function<double(const Sample&)>& of) {
  return spread(samples, of)["median"];
}

// Rows of one product: tokens, or those of one expert.
void write_kernels(const StepBenchOptions& options, const std::vector<Sample>& samples,
                   std::ostream& out) {
  using graph::OpKind;
  const auto& model = options.engine.model;
  const auto tokens = static_cast<double>(options.engine.micro_batch * model.sequence);
  for (const OpKind kind : {OpKind::gemm, OpKind::attention, OpKind::expert_gemm, OpKind::loss}) {
    const auto index = static_cast<size_t>(kind);
    const double rate = median(samples, [index](const Sample& x) {
      return x.flops[index] / std::max(1e-12, x.result.seconds_by_kind[index]);
    });
    if (rate <= 0) continue;
    const double per_expert =
        tokens * static_cast<double>(model.top_k) / static_cast<double>(model.experts);
    out << "[[kernel]]\nkind = \"" << graph::name_of(kind)
        << "\"\nrows = " << (kind == OpKind::expert_gemm ? per_expert : tokens)
        << "\ngflops = " << 1e-9 * rate << "\n";
  }
}

}  // namespace

void write_profile(StepBenchOptions options, std::span<const int64_t> micro_batches,
                   std::ostream& out) {
  std::ostringstream kernels;
  double flops = 0, bytes = 0;
  for (const int64_t sequences : micro_batches) {
    options.engine.micro_batch = options.engine.global_batch = sequences;
    Engine engine(options.engine);
    const std::vector<Sample> samples = time_steps(options, engine);
    write_kernels(options, samples, kernels);
    flops = std::max(flops, median(samples, [](const Sample& x) { return x.flops_per_s; }));
    bytes = std::max(bytes, median(samples, [](const Sample& x) { return x.bytes_per_s; }));
  }
  out << "description = \"" << cpu_name() << ", " << options.engine.threads
      << " threads, measured; links are not\"\n[device]\ntflops = " << 1e-12 * flops
      << "\nmemory_gb_per_s = " << 1e-9 * bytes << "\n"
      << kernels.str();
}

void bench_step(const StepBenchOptions& options, std::ostream& out) {
  Engine engine(options.engine);
  const std::vector<Sample> samples = time_steps(options, engine);
  const models::ModelSummary predicted = models::summarize(
      options.engine.model, options.engine.router,
      {.sequences = options.engine.micro_batch, .sequence = options.engine.model.sequence});
  const auto flops_per_s = [](const Sample& x) { return x.result.flops / x.result.seconds; };
  Json line;
  line["bench"] = "step";
  line["tokens_per_s"] = spread(samples, [](const Sample& x) {
    return static_cast<double>(x.result.tokens) / x.result.seconds;
  });
  line["flops_per_s"] = spread(samples, flops_per_s);
  line["peak_flops_per_s"] = spread(samples, [](const Sample& x) { return x.flops_per_s; });
  line["memory_bytes_per_s"] = spread(samples, [](const Sample& x) { return x.bytes_per_s; });
  line["of_peak"] =
      spread(samples, [&](const Sample& x) { return flops_per_s(x) / x.flops_per_s; });
  line["breakdown"] = breakdown(samples);
  line["peak_bytes"] = engine.ledger().peak_total();
  line["predicted_bytes"] = total(predicted.bytes);
  line["threads"] = options.engine.threads;
  line["isa"] = kernels::cpu::name_of(kernels::cpu::active_isa());
  line["blas"] = kernels::cpu::blas_name();
  line["cpu"] = cpu_name();
  out << line.dump() << '\n';
}

}  // namespace hecate::launcher
