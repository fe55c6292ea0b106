#include "launcher/generate/generator.h"

#include <algorithm>

#include "launcher/train/setup.h"

namespace hecate::launcher {

// A graph for contexts up to `length` tokens; shorter ones are padded behind, where a causal model
// does not look.
struct Generator::Sized {
  int64_t length;
  models::TransformerGraph graph;
  graph::Executor executor;
  std::vector<int32_t> tokens;
  std::vector<Real> logits;

  Sized(Generator& g, int64_t size)
      : length(size),
        graph(g.config_.model, g.config_.router, g.layout_, g.state_,
              {.sequences = 1, .sequence = size}, models::GraphMode::logits, false),
        executor(graph.graph(), g.lanes_, g.ledger_),
        tokens(static_cast<size_t>(size)),
        logits(static_cast<size_t>(size * g.config_.model.vocabulary)) {
    graph.bind_constants(executor);
    executor.bind(graph.inputs().tokens, tokens.data());
    executor.bind(graph.inputs().logits, logits.data());
  }
};

Generator::Generator(const LoadedModel& model)
    : config_(model.config),
      layout_(config_.model),
      lanes_(compute_threads(config_.device)),
      storage_(layout_, ledger_, false) {
  HECATE_CHECK(config_.model.objective == "causal",
               "generate: a masked model does not continue text");
  config_.router.capacity_factor = 0;  // padding must not push tokens out
  load_parameters(checkpoint::Checkpoint(model.path), layout_, storage_.values());
  state_.parameters = storage_.table();
}

Generator::~Generator() = default;

Generator::Sized& Generator::sized(int64_t length) {
  int64_t size = std::min<int64_t>(16, config_.model.sequence);
  while (size < length) size = std::min(2 * size, config_.model.sequence);
  for (const std::unique_ptr<Sized>& each : graphs_)
    if (each->length == size) return *each;
  return *graphs_.emplace_back(std::make_unique<Sized>(*this, size));
}

std::span<const Real> Generator::next_logits(std::span<const int32_t> tokens) {
  HECATE_CHECK(!tokens.empty(), "generate: an empty context");
  const auto limit = static_cast<size_t>(config_.model.sequence);
  const std::span<const int32_t> context =
      tokens.size() > limit ? tokens.subspan(tokens.size() - limit) : tokens;
  Sized& graph = sized(static_cast<int64_t>(context.size()));
  std::ranges::fill(graph.tokens, 0);
  std::ranges::copy(context, graph.tokens.begin());
  state_.scalars.local_tokens = state_.scalars.global_tokens = graph.length;
  graph.executor.run();
  const auto vocabulary = static_cast<size_t>(config_.model.vocabulary);
  return std::span<const Real>(graph.logits).subspan((context.size() - 1) * vocabulary, vocabulary);
}

void Generator::generate(std::vector<int32_t>& tokens, int64_t count, int32_t end,
                         const SamplingOptions& options, const std::function<void(int32_t)>& emit) {
  for (int64_t i = 0; i < count; ++i) {
    const int32_t token = sample_token(options, tokens.size(), next_logits(tokens));
    if (token == end) return;
    tokens.push_back(token);
    emit(token);
  }
}

}  // namespace hecate::launcher
