#include "tests/models/tiny_model.h"

#include <algorithm>

#include "runtime/base/rng.h"

namespace hecate::models {

TinyModel::TinyModel(const ModelConfig& model_config, const RouterConfig& router_config,
                     BatchShape batch, GraphMode mode, bool documents, int threads)
    : model(model_config),
      router(router_config),
      layout(model),
      lanes(threads),
      storage(layout, ledger, true),
      graph(model, router, layout, state, batch, mode, documents),
      executor(graph.graph(), lanes, ledger) {
  const CounterRng rng(11, 3);
  std::ranges::fill(storage.values(), Real{0});
  for (size_t id = 0; id < layout.specs().size(); ++id) {
    const ParameterSpec& spec = layout.specs()[id];
    const std::span<Real> piece = storage.piece(storage.values(), static_cast<ParameterId>(id));
    const double std = spec.kind == ParameterKind::router ? 1.0 : 0.15;
    for (size_t i = 0; i < piece.size(); ++i)
      piece[i] = static_cast<Real>(spec.init_value + std * rng.normal(id * 100003 + i));
  }
  state.parameters = storage.table();
  const auto count = static_cast<size_t>(batch.tokens());
  for (size_t t = 0; t < count; ++t) {
    tokens.push_back(
        static_cast<int32_t>(rng.below(7000000 + t, static_cast<uint64_t>(model.vocabulary))));
    targets.push_back(t % 5 == 3 ? -1
                                 : static_cast<int32_t>(rng.below(
                                       8000000 + t, static_cast<uint64_t>(model.vocabulary))));
    const auto sequence = static_cast<size_t>(batch.sequence);
    const size_t place = t % sequence;
    document_begin.push_back(static_cast<int32_t>(t - place + (place >= 4 ? 4 : 0)));
  }
  executor.bind_host(graph.inputs().tokens, tokens.data());
  if (mode != GraphMode::logits) executor.bind_host(graph.inputs().targets, targets.data());
  if (documents) executor.bind_host(graph.inputs().document_begin, document_begin.data());
  if (mode == GraphMode::logits) {
    logits.resize(count * static_cast<size_t>(model.vocabulary));
    executor.bind_host(graph.inputs().logits, logits.data());
  }
  graph.bind_constants(executor);
  StepScalars& scalars = state.scalars;
  scalars.seed = 5;
  scalars.local_tokens = scalars.global_tokens = batch.tokens();
  scalars.loss_scale =
      1.0 / static_cast<double>(std::ranges::count_if(targets, [](int32_t t) { return t >= 0; }));
}

double TinyModel::run() {
  state.statistics.reset();
  executor.run();
  return total_loss();
}

double TinyModel::total_loss() const {
  double loss = state.statistics.loss_sum * state.scalars.loss_scale;
  for (const MoeStatistics& layer : state.statistics.layers)
    loss += layer.balance_loss + layer.z_loss;
  return loss;
}

namespace {

ModelConfig base() {
  ModelConfig c;
  c.vocabulary = 37;
  c.sequence = 9;
  c.layers = 2;
  c.d_model = 16;
  c.heads = 4;
  c.experts = 4;
  c.top_k = 2;
  c.expert_hidden = 12;
  return c;
}

RouterConfig losses() {
  RouterConfig r;
  r.balance_loss = 0.3;
  r.z_loss = 0.05;
  return r;
}

}  // namespace

std::vector<Variant> variants() {
  std::vector<Variant> all;
  const auto add = [&](const char* name, auto change) {
    Variant v{.name = name, .model = base(), .router = losses()};
    change(v);
    all.push_back(v);
  };
  add("gpt", [](Variant& v) {
    v.model.norm = "layer";
    v.model.positions = "learned";
    v.model.activation = "gelu_tanh";
    v.model.gate = "gshard";
  });
  add("mixtral", [](Variant& v) {
    v.model.kv_heads = 2;
    v.model.tied_head = false;
  });
  add("olmoe", [](Variant& v) {
    v.model.qk_norm = "full";
    v.model.gate = "softmax";
    v.model.experts = 6;
    v.model.top_k = 3;
  });
  add("qwen3", [](Variant& v) {
    v.model.qk_norm = "head";
    v.model.kv_heads = 2;
    v.model.head_dim = 6;
  });
  add("latent", [](Variant& v) {
    v.model.attention = "latent";
    v.model.kv_lora_rank = 8;
    v.model.nope_dim = 6;
    v.model.rope_dim = 4;
    v.model.v_dim = 5;
    v.model.activation = "squared_relu";
    v.model.moe_layers = "from:1";
    v.model.shared_experts = 1;
  });
  add("switch", [](Variant& v) {
    v.model.gate = "switch";
    v.model.top_k = 1;
    v.router.capacity_factor = 0.6;
    v.model.moe_layers = "every:2";
  });
  add("dropping", [](Variant& v) { v.router.capacity_factor = 0.7; });
  add("sigmoid", [](Variant& v) {
    v.model.gate = "sigmoid_bias";
    v.router.routed_scale = 2.5;
    v.model.shared_experts = 2;
  });
  add("bert", [](Variant& v) {
    v.model.objective = "masked";
    v.model.norm = "layer";
    v.model.positions = "learned";
    v.model.activation = "gelu";
  });
  add("documents", [](Variant& v) { v.documents = true; });
  add("batch_balance", [](Variant& v) { v.router.balance_scope = "batch"; });
  add("recompute", [](Variant& v) {
    v.model.recompute = "all";
    v.model.shared_experts = 1;
    v.router.capacity_factor = 0.8;
  });
  add("dense", [](Variant& v) { v.model.moe_layers = "none"; });
  add("jitter_dropout", [](Variant& v) {
    v.router.jitter = 0.1;
    v.model.dropout = 0.2;
  });
  const auto mup = [](Variant& v) {
    v.model.mup.enabled = true;
    v.model.mup.embedding_multiplier = 3;
    v.model.mup.base.d_model = 8;
    v.model.mup.base.expert_hidden = 4;
  };
  add("mup", [&](Variant& v) {
    mup(v);
    v.model.positions = "learned";
    v.model.tied_head = false;
    v.model.moe_layers = "from:1";
  });
  add("mup_latent", [&](Variant& v) {
    mup(v);
    v.model.attention = "latent";
    v.model.kv_lora_rank = 8;
    v.model.nope_dim = 6;
    v.model.rope_dim = 4;
    v.model.v_dim = 5;
    v.model.mup.base.kv_lora_rank = 2;
    v.model.shared_experts = 1;
    v.model.recompute = "every:2";
    v.model.dropout = 0.2;
  });
  add("one_expert", [](Variant& v) {
    v.model.experts = 1;
    v.model.top_k = 1;
  });
  return all;
}

}  // namespace hecate::models
