#include "models/optimizer.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>

#include "runtime/kernels/adamw.h"
#include "runtime/kernels/elementwise.h"

namespace hecate::models {

std::vector<UpdateRule> update_rules(const ParameterLayout& layout, const OptimizerConfig& config) {
  std::vector<UpdateRule> rules;
  for (const ParameterSpec& spec : layout.specs())
    rules.push_back({.rate_factor = 1,
                     .weight_decay = spec.shape.rank() > 1 ? config.weight_decay : 0,
                     .frozen = !spec.trained()});
  for (const OptimizerGroup& group : config.groups) {
    bool matched = false;
    for (size_t i = 0; i < rules.size(); ++i) {
      const ParameterSpec& spec = layout.specs()[i];
      if (fnmatch(group.pattern.c_str(), spec.name.c_str(), 0) != 0) continue;
      matched = true;
      rules[i].rate_factor = group.rate_factor;
      if (group.weight_decay >= 0) rules[i].weight_decay = group.weight_decay;
      rules[i].frozen = group.frozen || !spec.trained();
    }
    HECATE_CHECK(matched, "optimizer.groups: pattern '", group.pattern, "' matches no parameter");
  }
  return rules;
}

OptimizerGraph::OptimizerGraph(const OptimizerConfig& config, const ModelConfig& model,
                               const RouterConfig& router, LocalStorage& storage, ModelState& state)
    : config_(config),
      model_(&model),
      bias_rate_(router.bias_rate),
      storage_(&storage),
      state_(&state) {
  const std::vector<UpdateRule> rules = update_rules(storage.layout(), config);
  int64_t elements = 0;
  for (size_t i = 0; i < rules.size(); ++i) {
    if (rules[i].frozen) continue;
    auto group = std::ranges::find(groups_, rules[i], &Group::rule);
    if (group == groups_.end()) group = groups_.insert(group, {.rule = rules[i], .ids = {}});
    group->ids.push_back(static_cast<ParameterId>(i));
    elements += storage.layout().spec(static_cast<ParameterId>(i)).size();
  }
  token_ = graph_.add_external("optimizer.state", DType::u8, 1, MemoryCategory::optimizer);
  const auto add = [&](const char* name, double passes, auto run) {
    graph::Op op;
    op.name = name;
    op.kind = graph::OpKind::optimizer;
    op.writes = {token_};
    op.cost = {.flops = 2 * passes * static_cast<double>(elements),
               .bytes = passes * static_cast<double>(elements) * sizeof(Real),
               .rows = {},
               .flops_per_row = 0,
               .bytes_per_row = 0};
    op.run = run;
    graph_.add(std::move(op));
  };
  add("optimizer.norm", 1, [this](graph::OpContext& c) { measure(c.stream()); });
  add("optimizer.adamw", 7, [this](graph::OpContext& c) { update(c.stream()); });
}

void OptimizerGraph::bind(graph::Executor& executor) const {
  executor.bind(token_, state_);
}

void OptimizerGraph::prepare(double rate, int64_t step, bool apply) {
  rate_ = rate;
  step_ = step;
  apply_ = apply;
}

void OptimizerGraph::measure(Stream& stream) {
  report_ = {};
  double squares = 0;
  for (const Group& group : groups_)
    for (ParameterId id : group.ids) {
      const std::span<Real> gradient = storage_->piece(storage_->gradients(), id);
      const double sum = kernels::sum_of_squares(
          stream, View<const Real>(gradient.data(), {static_cast<int64_t>(gradient.size())}));
      if (!std::isfinite(sum) && report_.bad < 0) report_.bad = id;
      squares += sum;
    }
  report_.gradient_norm = std::sqrt(squares);
}

void OptimizerGraph::update(Stream& stream) {
  if (!apply_ || report_.bad >= 0) return;
  const bool clips = config_.clip > 0 && report_.gradient_norm > config_.clip;
  std::vector<kernels::AdamWPiece> pieces;
  for (const Group& group : groups_) {
    pieces.clear();
    for (ParameterId id : group.ids)
      pieces.push_back({.parameter = storage_->piece(storage_->values(), id).data(),
                        .gradient = storage_->piece(storage_->gradients(), id).data(),
                        .first_moment = storage_->piece(storage_->first_moments(), id).data(),
                        .second_moment = storage_->piece(storage_->second_moments(), id).data(),
                        .size = storage_->layout().spec(id).size()});
    kernels::adamw(stream,
                   {.rate = rate_ * group.rule.rate_factor,
                    .beta1 = config_.beta1,
                    .beta2 = config_.beta2,
                    .eps = config_.eps,
                    .weight_decay = group.rule.weight_decay,
                    .step = step_,
                    .gradient_scale = clips ? config_.clip / report_.gradient_norm : 1},
                   pieces);
  }
  update_router_bias();
}

// An expert below the mean load is raised, one above it lowered (arXiv:2408.15664, algorithm 1).
void OptimizerGraph::update_router_bias() {
  if (model_->gate != "sigmoid_bias") return;
  for (size_t i = 0; i < storage_->layout().specs().size(); ++i) {
    const ParameterSpec& spec = storage_->layout().specs()[i];
    if (spec.kind != ParameterKind::router_bias) continue;
    const std::vector<int64_t>& counts =
        state_->statistics.layers[static_cast<size_t>(spec.layer)].counts;
    int64_t sum = 0;
    for (int64_t count : counts) sum += count;
    const std::span<Real> bias = storage_->piece(storage_->values(), static_cast<ParameterId>(i));
    for (size_t e = 0; e < counts.size(); ++e) {
      const int64_t scaled = counts[e] * static_cast<int64_t>(counts.size());
      const double direction = scaled < sum ? 1 : scaled > sum ? -1 : 0;
      bias[e] += static_cast<Real>(bias_rate_ * direction);
    }
  }
}

}  // namespace hecate::models
