#include "models/transformer.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "models/layers/feed_forward.h"
#include "models/layers/latent_attention.h"
#include "models/layers/moe.h"
#include "models/layers/norm.h"
#include "models/mup.h"
#include "runtime/base/rng.h"
#include "runtime/kernels/cross_entropy.h"
#include "runtime/kernels/elementwise.h"
#include "runtime/kernels/gemm.h"

namespace hecate::models {
namespace {

constexpr double kReal = sizeof(Real);

OpCost pass_cost(int64_t elements, double passes) {
  return {.flops = static_cast<double>(elements),
          .bytes = passes * kReal * static_cast<double>(elements),
          .rows = {},
          .flops_per_row = 0,
          .bytes_per_row = 0};
}

int64_t rotary_size(const ModelConfig& config) {
  if (config.positions != "rope") return 0;
  return config.attention == "latent" ? config.rope_dim : config.head_size();
}

}  // namespace

// One layer's parts and what its forward keeps for its backward.
struct TransformerGraph::Layer {
  std::optional<Attention> heads;
  std::optional<LatentAttention> latent;
  std::optional<FeedForward> dense;
  std::optional<MoeLayer> moe;
  std::optional<Norm> attention_norm, ffn_norm;

  BufferId input;
  Norm::Saved attention_norm_saved, ffn_norm_saved;
  Attention::Saved heads_saved;
  LatentAttention::Saved latent_saved;
  FeedForward::Saved dense_saved;
  MoeLayer::Saved moe_saved;

  Layer(const Builder& b, const ExpertOps& expert_ops) {
    attention_norm.emplace(b, "attention.norm");
    ffn_norm.emplace(b, "ffn.norm");
    if (b.model().attention == "latent")
      latent.emplace(b);
    else
      heads.emplace(b);
    if (b.model().is_moe(b.layer()))
      moe.emplace(b, expert_ops);
    else
      dense.emplace(b, "ffn");
  }
};

TransformerGraph::TransformerGraph(const ModelConfig& model, const RouterConfig& router,
                                   const ParameterLayout& layout, ModelState& state,
                                   BatchShape batch, GraphMode mode, bool documents,
                                   const Parallel& parallel, KvCache* cache)
    : builder_(graph_, model, router, layout, state, batch, parallel),
      expert_ops_(builder_, mode == GraphMode::train),
      dense_ops_(builder_, mode == GraphMode::train),
      multipliers_(forward_multipliers(model)) {
  HECATE_CHECK(batch.sequence <= model.sequence || model.positions != "learned", "sequence ",
               batch.sequence, " is longer than the ", model.sequence, " learned positions");
  state.statistics.layers.resize(static_cast<size_t>(model.layers));
  for (int32_t i = 0; i < model.layers; ++i)
    if (model.is_moe(i))
      state.statistics.layers[static_cast<size_t>(i)].counts.resize(
          static_cast<size_t>(model.experts));
  set_cache(cache, mode, documents);
  make_constants();
  add_inputs(documents, mode);
  build(mode);
}

TransformerGraph::~TransformerGraph() = default;

void TransformerGraph::set_cache(KvCache* cache, GraphMode mode, bool documents) {
  const BatchShape& batch = builder_.batch();
  const bool decode = mode == GraphMode::decode;
  HECATE_CHECK(cache == nullptr || decode || mode == GraphMode::logits,
               "transformer: a cache is for decoding and what comes before it");
  HECATE_CHECK(cache == nullptr || cache->sequences() == batch.sequences,
               "transformer: ", batch.sequences, " sequences, the cache has ",
               cache == nullptr ? 0 : cache->sequences());
  HECATE_CHECK(!decode || (cache != nullptr && batch.sequence == 1 && !documents),
               "transformer: decoding needs a cache and sequences of one token, without documents");
  HECATE_CHECK(cache == nullptr || builder_.model().objective == "causal",
               "transformer: only causal models decode");
  attention_inputs_.cache = cache;
  attention_inputs_.decode = decode;
}

void TransformerGraph::set_positions(std::span<const int32_t> positions) {
  const int64_t limit = attention_inputs_.rope_rows;
  HECATE_CHECK(attention_inputs_.decode && positions.size() == positions_.size(),
               "transformer: ", positions.size(), " positions to decode at, expected ",
               attention_inputs_.decode ? positions_.size() : 0);
  const size_t heads = head_positions_.size() / positions_.size();
  for (size_t b = 0; b < positions.size(); ++b) {
    HECATE_CHECK(positions[b] >= 0 && positions[b] < limit, "transformer: position ", positions[b],
                 " of ", limit);
    positions_[b] = positions[b];
    lengths_[b] = positions[b] + 1;
    std::fill_n(head_positions_.begin() + static_cast<std::ptrdiff_t>(b * heads), heads,
                positions[b]);
  }
}

void TransformerGraph::make_constants() {
  const ModelConfig& model = builder_.model();
  const int64_t sequence = builder_.batch().sequence;
  for (int64_t t = 0; t < builder_.tokens(); ++t) {
    positions_.push_back(static_cast<int32_t>(t % sequence));
    if (model.attention == "latent")
      head_positions_.insert(head_positions_.end(), static_cast<size_t>(model.heads),
                             positions_.back());
  }
  const int64_t size = rotary_size(model);
  const int64_t rows = attention_inputs_.decode ? model.sequence : sequence;
  attention_inputs_.rope_rows = rows;
  if (attention_inputs_.decode) lengths_.assign(positions_.size(), 1);
  rope_.resize(static_cast<size_t>(rows * size));
  for (int64_t p = 0; p < rows; ++p)
    for (int64_t i = 0; i < size / 2; ++i) {
      const double angle =
          static_cast<double>(p) *
          std::pow(model.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(size));
      rope_[static_cast<size_t>(p * size + i)] = static_cast<Real>(std::cos(angle));
      rope_[static_cast<size_t>(p * size + size / 2 + i)] = static_cast<Real>(std::sin(angle));
    }
}

void TransformerGraph::add_inputs(bool documents, GraphMode mode) {
  const int64_t tokens = builder_.tokens();
  const auto integers = [&](const char* name, int64_t elements) {
    return graph_.add_external(name, DType::i32, elements, MemoryCategory::buffers);
  };
  inputs_.tokens = integers("tokens", tokens);
  const bool logits = mode == GraphMode::logits || mode == GraphMode::decode;
  if (!logits) inputs_.targets = integers("targets", tokens);
  if (documents) inputs_.document_begin = integers("document_begin", tokens);
  attention_inputs_.positions = integers("positions", tokens);
  attention_inputs_.head_positions =
      integers("head_positions", static_cast<int64_t>(head_positions_.size()));
  attention_inputs_.document_begin = inputs_.document_begin;
  attention_inputs_.rope_table = graph_.add_external(
      "rope", dtype_of<Real>(), static_cast<int64_t>(rope_.size()), MemoryCategory::buffers);
  if (attention_inputs_.decode) attention_inputs_.lengths = integers("lengths", tokens);
  if (logits)
    inputs_.logits = graph_.add_external(
        "logits", dtype_of<Real>(), tokens * builder_.model().vocabulary, MemoryCategory::buffers);
}

void TransformerGraph::bind_constants(graph::Executor& executor) const {
  builder_.bind_parameters(executor);
  executor.bind_host(attention_inputs_.positions, const_cast<int32_t*>(positions_.data()));
  executor.bind_host(attention_inputs_.head_positions,
                     const_cast<int32_t*>(head_positions_.data()));
  if (attention_inputs_.decode)
    executor.bind_host(attention_inputs_.lengths, const_cast<int32_t*>(lengths_.data()));
  executor.bind_host(attention_inputs_.rope_table, const_cast<Real*>(rope_.data()));
}

void TransformerGraph::build(GraphMode mode) {
  const bool train = mode == GraphMode::train;
  const auto layers = static_cast<int32_t>(builder_.model().layers);
  dense_ops_.begin(builder_);
  for (int32_t i = 0; i < layers; ++i) {
    dense_ops_.begin_layer(builder_, i);
    expert_ops_.begin_layer(builder_, i);
  }
  BufferId x = embed();
  for (int32_t i = 0; i < layers; ++i) {
    builder_.enter(i, false);
    layers_.push_back(std::make_unique<Layer>(builder_, expert_ops_));
    x = layer_forward(i, x, *layers_.back());
    dense_ops_.after_forward(builder_);
  }
  builder_.enter(-1, false);
  const Norm final_norm(builder_, "final_norm");
  const Norm::Saved saved = final_norm.forward(builder_, x, builder_.tokens());
  if (inputs_.logits.valid()) return add_logits(saved.y);
  const BufferId dhidden =
      train ? builder_.matrix("head.dx", builder_.tokens(), builder_.model().d_model) : BufferId{};
  add_loss(saved.y, dhidden, mode);
  if (!train) return;
  builder_.enter(-1, true);
  const BufferId dx = builder_.matrix("residual.dx", builder_.tokens(), builder_.model().d_model);
  final_norm.backward(builder_, saved, dhidden, builder_.tokens(), dx, false);
  dense_ops_.reduce_last(builder_);
  for (int32_t i = layers - 1; i >= 0; --i) {
    Layer& layer = *layers_[static_cast<size_t>(i)];
    if (builder_.model().recomputes(i)) layer_recompute(i, layer);
    layer_backward(i, layer, dx);
    dense_ops_.after_backward(builder_);
  }
  embed_backward(dx);
  dense_ops_.reduce_first(builder_);
}

BufferId TransformerGraph::embed() {
  builder_.enter(-1, false);
  const ModelConfig& model = builder_.model();
  const int64_t tokens = builder_.tokens(), d = model.d_model;
  const Weight table = builder_.weight("embedding.tokens");
  const bool learned = model.positions == "learned";
  const Weight positions = learned ? builder_.weight("embedding.positions") : table;
  const BufferId x = builder_.matrix("embedding", tokens, d);
  builder_.op(OpKind::embedding, "embedding",
              {inputs_.tokens, attention_inputs_.positions, builder_.weights()}, {x},
              pass_cost(tokens * d, learned ? 4 : 2),
              [=, in = inputs_, where = attention_inputs_.positions,
               factor = multipliers_.embedding](OpContext& c) {
                const auto out = c.view<Real>(x, {tokens, d});
                kernels::embedding(c.stream(), c.view<const int32_t>(in.tokens, {tokens}),
                                   table.value(), factor, out);
                if (!learned) return;
                const auto ids = c.view<const int32_t>(where, {tokens});
                for (int64_t t = 0; t < tokens; ++t) {
                  const Real* row = positions.value().row(ids.data()[t]);
                  for (int64_t i = 0; i < d; ++i) out.row(t)[i] += factor * row[i];
                }
              });
  return dropout("embedding.dropout", x, 0);
}

void TransformerGraph::embed_backward(BufferId dx) {
  builder_.enter(-1, true);
  const ModelConfig& model = builder_.model();
  const int64_t tokens = builder_.tokens(), d = model.d_model;
  const Weight table = builder_.weight("embedding.tokens");
  const bool learned = model.positions == "learned";
  const Weight positions = learned ? builder_.weight("embedding.positions") : table;
  dropout("embedding.dropout.dx", dx, 0);
  std::vector<Weight> clear;
  if (!model.tied_head) clear.push_back(table);
  if (learned) clear.push_back(positions);
  if (!clear.empty()) clear_gradients(builder_, "embedding.clear", clear);
  builder_.op(OpKind::embedding, "embedding.dw", {inputs_.tokens, attention_inputs_.positions, dx},
              {builder_.gradients()}, pass_cost(tokens * d, learned ? 6 : 3),
              [=, in = inputs_, where = attention_inputs_.positions,
               factor = multipliers_.embedding](OpContext& c) {
                const auto dy = c.view<const Real>(dx, {tokens, d});
                kernels::embedding_backward(c.stream(), c.view<const int32_t>(in.tokens, {tokens}),
                                            dy, factor, table.gradient());
                if (learned)
                  kernels::embedding_backward(c.stream(), c.view<const int32_t>(where, {tokens}),
                                              dy, factor, positions.gradient());
              });
}

// In place; forward and backward are the same multiplication. `which` is 0 for the embedding, then
// two per layer.
BufferId TransformerGraph::dropout(const char* name, BufferId x, int32_t which) {
  const ModelConfig& model = builder_.model();
  if (model.dropout <= 0) return x;
  const int64_t tokens = builder_.tokens(), d = model.d_model;
  builder_.op(OpKind::elementwise, name, {}, {x}, pass_cost(tokens * d, 2),
              [=, rate = static_cast<Real>(model.dropout), state = builder_.state()](OpContext& c) {
                const StepScalars& step = state->scalars;
                if (!step.training) return;
                const auto values = c.view<Real>(x, {tokens, d});
                kernels::dropout(c.stream(), rate, step.seed + static_cast<uint64_t>(step.step),
                                 stream_of("dropout") + static_cast<uint64_t>(which),
                                 step.first_token, values, values);
              });
  return x;
}

BufferId TransformerGraph::add_branch(const char* name, BufferId x, BufferId branch,
                                      int32_t which) {
  const int64_t tokens = builder_.tokens(), d = builder_.model().d_model;
  dropout("branch.dropout", branch, which);
  const BufferId y = builder_.matrix(name, tokens, d);
  builder_.op(OpKind::elementwise, name, {x, branch}, {y}, pass_cost(tokens * d, 3),
              [=, factor = multipliers_.residual](OpContext& c) {
                kernels::add_to(c.stream(), c.view<const Real>(x, {tokens, d}), factor,
                                c.view<const Real>(branch, {tokens, d}),
                                c.view<Real>(y, {tokens, d}));
              });
  return y;
}

BufferId TransformerGraph::layer_forward(int32_t index, BufferId x, Layer& layer) {
  const int64_t tokens = builder_.tokens();
  layer.input = x;
  layer.attention_norm_saved = layer.attention_norm->forward(builder_, x, tokens);
  const BufferId normed = layer.attention_norm_saved.y;
  const BufferId attended =
      layer.heads ? layer.heads->forward(builder_, attention_inputs_, normed, layer.heads_saved)
                  : layer.latent->forward(builder_, attention_inputs_, normed, layer.latent_saved);
  const BufferId middle = add_branch("attention.residual", x, attended, 1 + 2 * index);
  layer.ffn_norm_saved = layer.ffn_norm->forward(builder_, middle, tokens);
  const BufferId branch_input = layer.ffn_norm_saved.y;
  BufferId branch;
  if (layer.dense)
    branch = layer.dense->forward(builder_, branch_input, layer.dense_saved);
  else if (builder_.recomputing())
    return layer.moe->recompute(builder_, branch_input, layer.moe_saved), middle;
  else
    branch = layer.moe->forward(builder_, branch_input, layer.moe_saved);
  return add_branch("ffn.residual", middle, branch, 2 + 2 * index);
}

void TransformerGraph::layer_recompute(int32_t index, Layer& layer) {
  builder_.enter(index, true);
  builder_.set_recomputing(true);
  layer_forward(index, layer.input, layer);
  builder_.set_recomputing(false);
}

// The gradient by a branch's output: dx itself, or what the branch's factor and dropout make of it.
BufferId TransformerGraph::branch_gradient(BufferId dx, int32_t which) {
  const Real factor = multipliers_.residual;
  if (builder_.model().dropout <= 0 && factor == 1) return dx;
  const int64_t tokens = builder_.tokens(), d = builder_.model().d_model;
  const BufferId dy = builder_.matrix("branch.dy", tokens, d);
  builder_.op(OpKind::elementwise, "branch.copy", {dx}, {dy}, pass_cost(tokens * d, 2),
              [=](OpContext& c) {
                const auto out = c.view<Real>(dy, {tokens, d});
                kernels::copy(c.stream(), c.view<const Real>(dx, {tokens, d}), out);
                if (factor != 1) kernels::scale(c.stream(), factor, out);
              });
  return dropout("branch.dropout.dx", dy, which);
}

void TransformerGraph::layer_backward(int32_t index, Layer& layer, BufferId dx) {
  builder_.enter(index, true);
  const int64_t tokens = builder_.tokens();
  const BufferId dffn = branch_gradient(dx, 2 + 2 * index);
  const BufferId dffn_in = layer.dense ? layer.dense->backward(builder_, layer.dense_saved, dffn)
                                       : layer.moe->backward(builder_, layer.moe_saved, dffn);
  layer.ffn_norm->backward(builder_, layer.ffn_norm_saved, dffn_in, tokens, dx, true);
  const BufferId dattention = branch_gradient(dx, 1 + 2 * index);
  const BufferId dattention_in =
      layer.heads
          ? layer.heads->backward(builder_, attention_inputs_, layer.heads_saved, dattention)
          : layer.latent->backward(builder_, attention_inputs_, layer.latent_saved, dattention);
  layer.attention_norm->backward(builder_, layer.attention_norm_saved, dattention_in, tokens, dx,
                                 true);
}

void TransformerGraph::add_loss(BufferId hidden, BufferId dhidden, GraphMode mode) {
  const ModelConfig& model = builder_.model();
  const int64_t tokens = builder_.tokens(), d = model.d_model;
  const Weight head = builder_.weight(model.tied_head ? "embedding.tokens" : "head");
  const BufferId targets = inputs_.targets;
  ModelState* state = builder_.state();
  const kernels::HeadOptions options{.logit_scale = multipliers_.logits};
  const double products = mode == GraphMode::train ? 6 : 2;
  const OpCost cost = {
      .flops = products * static_cast<double>(tokens) * static_cast<double>(head.shape.size()),
      .bytes = products * kReal * static_cast<double>(head.shape.size()),
      .rows = {},
      .flops_per_row = 0,
      .bytes_per_row = 0};
  const auto count = [state](const kernels::HeadLoss& loss) {
    state->statistics.loss_sum += loss.loss_sum;
    state->statistics.valid_tokens += loss.tokens;
  };
  if (mode == GraphMode::evaluate) {
    // Written so that the graph has an output that orders the operation.
    const BufferId losses = builder_.matrix("token_loss", tokens, 1);
    builder_.op(OpKind::loss, "head", {hidden, targets, builder_.weights()}, {losses}, cost,
                [=](OpContext& c) {
                  count(kernels::head_loss(
                      c.stream(), options, c.view<const Real>(hidden, {tokens, d}), head.value(),
                      c.view<const int32_t>(targets, {tokens}), c.view<Real>(losses, {tokens})));
                });
    return;
  }
  clear_gradients(builder_, "head.clear", {head});
  builder_.op(OpKind::loss, "head", {hidden, targets, builder_.weights()},
              {dhidden, builder_.gradients()}, cost, [=](OpContext& c) {
                count(kernels::head_loss_and_gradient(
                    c.stream(), options, static_cast<Real>(state->scalars.loss_scale),
                    c.view<const Real>(hidden, {tokens, d}), head.value(),
                    c.view<const int32_t>(targets, {tokens}), c.view<Real>(dhidden, {tokens, d}),
                    head.gradient()));
              });
}

void TransformerGraph::add_logits(BufferId hidden) {
  const ModelConfig& model = builder_.model();
  const int64_t tokens = builder_.tokens(), d = model.d_model, v = model.vocabulary;
  const Weight head = builder_.weight(model.tied_head ? "embedding.tokens" : "head");
  const BufferId logits = inputs_.logits;
  builder_.op(
      OpKind::gemm, "head", {hidden, builder_.weights()}, {logits},
      {.flops = 2.0 * static_cast<double>(tokens) * static_cast<double>(v * d),
       .bytes = kReal * static_cast<double>(v * (d + tokens)),
       .rows = {},
       .flops_per_row = 0,
       .bytes_per_row = 0},
      [=, factor = multipliers_.logits](OpContext& c) {
        const auto out = c.view<Real>(logits, {tokens, v});
        kernels::linear(c.stream(), c.view<const Real>(hidden, {tokens, d}), head.value(), out);
        if (factor != 1) kernels::scale(c.stream(), factor, out);
      });
}

}  // namespace hecate::models
