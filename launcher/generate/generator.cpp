#include "launcher/generate/generator.h"

#include <algorithm>

#include "launcher/train/setup.h"

namespace hecate::launcher {
namespace {

// More new tokens than this are computed faster together with their context.
constexpr size_t kMostDecoded = 8;

}  // namespace

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
              {.sequences = 1, .sequence = size}, models::GraphMode::logits, false, {}, &g.cache_),
        executor(graph.graph(), g.lanes_, g.ledger_),
        tokens(static_cast<size_t>(size)),
        logits(static_cast<size_t>(size * g.config_.model.vocabulary)) {
    graph.bind_constants(executor);
    executor.bind_host(graph.inputs().tokens, tokens.data());
    executor.bind_host(graph.inputs().logits, logits.data());
  }
};

// The graph of one token behind the cached ones.
struct Generator::Decoder {
  models::TransformerGraph graph;
  graph::Executor executor;
  int32_t token = 0;
  std::vector<Real> logits;

  explicit Decoder(Generator& g)
      : graph(g.config_.model, g.config_.router, g.layout_, g.state_,
              {.sequences = 1, .sequence = 1}, models::GraphMode::decode, false, {}, &g.cache_),
        executor(graph.graph(), g.lanes_, g.ledger_),
        logits(static_cast<size_t>(g.config_.model.vocabulary)) {
    graph.bind_constants(executor);
    executor.bind_host(graph.inputs().tokens, &token);
    executor.bind_host(graph.inputs().logits, logits.data());
  }
};

Generator::Generator(const LoadedModel& model)
    : config_(model.config),
      layout_(config_.model),
      lanes_(compute_threads(config_.device)),
      storage_(layout_, ledger_, false),
      cache_(config_.model, 1, ledger_) {
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

bool Generator::extends_cached(std::span<const int32_t> context) const {
  return !cached_.empty() && cached_.size() < context.size() &&
         context.size() - cached_.size() <= kMostDecoded &&
         std::ranges::equal(cached_, context.first(cached_.size()));
}

std::span<const Real> Generator::next_logits(std::span<const int32_t> tokens) {
  HECATE_CHECK(!tokens.empty(), "generate: an empty context");
  const auto limit = static_cast<size_t>(config_.model.sequence);
  const std::span<const int32_t> context =
      tokens.size() > limit ? tokens.subspan(tokens.size() - limit) : tokens;
  if (!extends_cached(context)) return compute(context);
  std::span<const Real> logits;
  while (cached_.size() < context.size()) logits = decode(context[cached_.size()]);
  return logits;
}

std::span<const Real> Generator::compute(std::span<const int32_t> context) {
  Sized& graph = sized(static_cast<int64_t>(context.size()));
  std::ranges::fill(graph.tokens, 0);
  std::ranges::copy(context, graph.tokens.begin());
  cache_.reserve(graph.length);
  cached_.clear();
  state_.scalars.local_tokens = state_.scalars.global_tokens = graph.length;
  graph.executor.run();
  cached_.assign(context.begin(), context.end());
  const auto vocabulary = static_cast<size_t>(config_.model.vocabulary);
  return std::span<const Real>(graph.logits).subspan((context.size() - 1) * vocabulary, vocabulary);
}

std::span<const Real> Generator::decode(int32_t token) {
  if (!decoder_) decoder_ = std::make_unique<Decoder>(*this);
  const auto position = static_cast<int32_t>(cached_.size());
  if (position >= cache_.capacity())
    cache_.reserve(std::min(2 * cache_.capacity(), config_.model.sequence));
  decoder_->graph.set_positions({&position, 1});
  decoder_->token = token;
  state_.scalars.local_tokens = state_.scalars.global_tokens = 1;
  decoder_->executor.run();
  cached_.push_back(token);
  return decoder_->logits;
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
