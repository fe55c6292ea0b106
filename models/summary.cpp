#include "models/summary.h"

#include <cstdio>

#include "models/transformer.h"
#include "runtime/graph/memory_plan.h"

namespace hecate::models {
namespace {

struct Built {
  ParameterLayout layout;
  ModelState state;
  TransformerGraph graph;
  Built(const ModelConfig& model, const RouterConfig& router, BatchShape batch, GraphMode mode)
      : layout(model), graph(model, router, layout, state, batch, mode, false) {}
};

double flops(const graph::StepGraph& graph) {
  double sum = 0;
  for (const graph::Op& op : graph.ops()) {
    sum += op.cost.flops;
    if (op.cost.rows.valid())
      sum += op.cost.flops_per_row *
             static_cast<double>(graph.expected_rows()[static_cast<size_t>(op.cost.rows.index)]);
  }
  return sum;
}

}  // namespace

ModelSummary summarize(const ModelConfig& model, const RouterConfig& router, BatchShape batch) {
  const Built train(model, router, batch, GraphMode::train);
  const Built forward(model, router, batch, GraphMode::evaluate);
  ModelSummary summary;
  summary.parameters = train.layout.parameters();
  summary.active_parameters = train.layout.active_parameters(model);
  const auto tokens = static_cast<double>(batch.tokens());
  summary.train_flops_per_token = flops(train.graph.graph()) / tokens;
  summary.forward_flops_per_token = flops(forward.graph.graph()) / tokens;
  const graph::MemoryPlan plan =
      graph::plan_memory(train.graph.graph(), train.graph.graph().expected_rows());
  const int64_t flat = train.layout.elements() * static_cast<int64_t>(sizeof(Real));
  const auto at = [&](MemoryCategory category) -> int64_t& {
    return summary.bytes[static_cast<size_t>(category)];
  };
  at(MemoryCategory::parameters) = flat;
  at(MemoryCategory::gradients) = flat;
  at(MemoryCategory::optimizer) = 2 * flat;
  at(MemoryCategory::activations) = plan.arena_bytes + plan.pooled_bytes;
  return summary;
}

namespace {

std::string scaled(double value, const char* unit) {
  const char* prefixes[] = {"", " k", " M", " G", " T", " P"};
  int step = 0;
  while (value >= 1000 && step < 5) {
    value /= 1000;
    ++step;
  }
  char text[64];
  std::snprintf(text, sizeof text, step == 0 ? "%.0f%s%s" : "%.2f%s%s", value, prefixes[step],
                unit);
  return text;
}

std::string bytes_text(int64_t bytes) {
  char text[64];
  std::snprintf(text, sizeof text, "%14lld  (%.3f GiB)", static_cast<long long>(bytes),
                static_cast<double>(bytes) / (1 << 30));
  return text;
}

}  // namespace

std::string to_text(const ModelConfig& model, const ModelSummary& summary, BatchShape batch) {
  std::string out = concat(
      "parameters            ", summary.parameters, "  (",
      scaled(static_cast<double>(summary.parameters), ""), ")\n", "active per token      ",
      summary.active_parameters, "  (", scaled(static_cast<double>(summary.active_parameters), ""),
      ")\n", "training per token    ", scaled(summary.train_flops_per_token, "FLOP"), "\n",
      "forward per token     ", scaled(summary.forward_flops_per_token, "FLOP"), "\n", "layers ",
      model.layers, ", of them with experts: ");
  int64_t moe = 0;
  for (int64_t layer = 0; layer < model.layers; ++layer) moe += model.is_moe(layer) ? 1 : 0;
  out += concat(moe, "\nmemory of one rank that holds everything, micro-batch of ", batch.sequences,
                " x ", batch.sequence, " tokens:\n");
  for (size_t i = 0; i < kMemoryCategories; ++i)
    if (summary.bytes[i] > 0) {
      const std::string name(name_of(static_cast<MemoryCategory>(i)));
      out += concat("  ", name, std::string(20 - name.size(), ' '), bytes_text(summary.bytes[i]),
                    "\n");
    }
  return out + concat("  total               ", bytes_text(total(summary.bytes)), "\n");
}

}  // namespace hecate::models
