#include "models/optimizer.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "runtime/kernels/adamw.h"
#include "runtime/kernels/elementwise.h"
#include "runtime/kernels/last_update.h"

namespace hecate::models {
namespace {

constexpr size_t kSums = 4;

// Layers that the loss is behind of: all of them for the embedding, none for the head.
int64_t layers_to_loss(const ParameterSpec& spec) {
  if (spec.layer >= 0) return -spec.layer;
  const bool first = spec.kind == ParameterKind::embedding || spec.kind == ParameterKind::positions;
  return first ? 1 : std::numeric_limits<int64_t>::min();
}

// Whether backward computes the gradient of `a` before that of `b` (-1: none yet), layer by layer;
// inside a layer the layout is in the order of forward.
bool closer_to_loss(const ParameterLayout& layout, ParameterId a, ParameterId b) {
  if (b < 0) return true;
  const int64_t x = layers_to_loss(layout.spec(a)), y = layers_to_loss(layout.spec(b));
  return x != y ? x < y : a > b;
}

}  // namespace

std::vector<UpdateRule> update_rules(const ParameterLayout& layout, const OptimizerConfig& config) {
  std::vector<UpdateRule> rules;
  for (const ParameterSpec& spec : layout.specs())
    rules.push_back({.rate_factor = spec.rate,
                     .weight_decay = spec.shape.rank() > 1 ? config.weight_decay * spec.decay : 0,
                     .frozen = !spec.trained()});
  for (const OptimizerGroup& group : config.groups) {
    bool matched = false;
    for (size_t i = 0; i < rules.size(); ++i) {
      const ParameterSpec& spec = layout.specs()[i];
      if (fnmatch(group.pattern.c_str(), spec.name.c_str(), 0) != 0) continue;
      matched = true;
      rules[i].rate_factor = group.rate_factor * spec.rate;
      if (group.weight_decay >= 0) rules[i].weight_decay = group.weight_decay * spec.decay;
      rules[i].frozen = group.frozen || !spec.trained();
    }
    HECATE_CHECK(matched, "optimizer.groups: pattern '", group.pattern, "' matches no parameter");
  }
  return rules;
}

OptimizerGraph::OptimizerGraph(const OptimizerConfig& config, const ModelConfig& model,
                               const RouterConfig& router, Storage& storage, ModelState& state,
                               const collectives::Communicator& ranks)
    : config_(config),
      model_(&model),
      bias_rate_(router.bias_rate),
      storage_(&storage),
      state_(&state),
      ranks_(ranks),
      rules_(update_rules(storage.layout(), config)),
      all_(kSums * static_cast<size_t>(ranks ? ranks.size() : 1)) {
  refresh();
  add_operations();
}

void OptimizerGraph::refresh() {
  groups_.clear();
  elements_ = 0;
  for (const OwnedPiece& piece : storage_->pieces())
    if (Group* group = group_of(piece)) group->pieces.push_back(piece);
  for (const OwnedPiece& piece : storage_->replicas())
    if (Group* group = group_of(piece)) group->replicas.push_back(piece);
}

// Made where it is missing; null for what is frozen.
OptimizerGraph::Group* OptimizerGraph::group_of(const OwnedPiece& piece) {
  const UpdateRule& rule = rules_[static_cast<size_t>(piece.id)];
  if (rule.frozen) return nullptr;
  elements_ += piece.size;
  auto group = std::ranges::find(groups_, rule, &Group::rule);
  if (group == groups_.end())
    group = groups_.insert(group, {.rule = rule, .pieces = {}, .replicas = {}});
  return &*group;
}

void OptimizerGraph::add_operations() {
  token_ = graph_.add_external("optimizer.state", DType::u8, 1, MemoryCategory::optimizer);
  const auto add = [&](const char* name, LaneKind lane, double passes, auto run) {
    graph::Op op;
    op.name = name;
    op.kind = lane == LaneKind::compute ? graph::OpKind::optimizer : graph::OpKind::dense_reduce;
    op.lane = lane;
    op.writes = {token_};
    op.cost = {.flops = 2 * passes * static_cast<double>(elements_),
               .bytes = passes * static_cast<double>(elements_) * sizeof(Real),
               .rows = {},
               .flops_per_row = 0,
               .bytes_per_row = 0};
    op.run = run;
    graph_.add(std::move(op));
  };
  add("optimizer.norm", LaneKind::compute, 1, [this](graph::OpContext& c) { measure(c.stream()); });
  if (ranks_)
    add("optimizer.norm.reduce", LaneKind::dense, 0, [this](graph::OpContext&) { agree(); });
  add("optimizer.adamw", LaneKind::compute, 7, [this](graph::OpContext& c) { update(c.stream()); });
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
  report_ = {.gradient_norm = 0, .bad = -1, .rate_factor = rate_factor_};
  alignment_ = {};
  for (const Group& group : groups_)
    for (const OwnedPiece& piece : group.pieces) {
      const double sum =
          kernels::sum_of_squares(stream, View<const Real>(piece.gradient, {piece.size}));
      if (!std::isfinite(sum) && closer_to_loss(storage_->layout(), piece.id, report_.bad))
        report_.bad = piece.id;
      alignment_.gradient_squares += sum;
      align(stream, group, piece);
    }
  report_.gradient_norm = std::sqrt(alignment_.gradient_squares);
}

kernels::AdamW OptimizerGraph::last_options() const {
  return {.rate = 0,
          .beta1 = config_.beta1,
          .beta2 = config_.beta2,
          .eps = config_.eps,
          .weight_decay = 0,
          .step = step_ - 1,
          .gradient_scale = 1};
}

// The last update per unit of the schedule's rate has the group's factor.
void OptimizerGraph::align(Stream& stream, const Group& group, const OwnedPiece& piece) {
  if (!config_.hypergradient.enabled || step_ < 2) return;
  const kernels::LastUpdate last = kernels::last_update(stream, last_options(),
                                                        {.parameter = piece.value,
                                                         .gradient = piece.gradient,
                                                         .first_moment = piece.first_moment,
                                                         .second_moment = piece.second_moment,
                                                         .size = piece.size});
  const double factor = group.rule.rate_factor;
  alignment_.product += factor * last.product;
  alignment_.update_squares += factor * factor * last.squares;
}

void OptimizerGraph::agree() {
  const double mine[kSums] = {alignment_.gradient_squares, static_cast<double>(report_.bad),
                              alignment_.product, alignment_.update_squares};
  ranks_.all_gather(mine, all_.data(), kSums, DType::f64).wait();
  report_.bad = -1;
  alignment_ = {};
  for (size_t i = 0; i < all_.size(); i += kSums) {
    alignment_.gradient_squares += all_[i];
    const auto bad = static_cast<ParameterId>(all_[i + 1]);
    if (bad >= 0 && closer_to_loss(storage_->layout(), bad, report_.bad)) report_.bad = bad;
    alignment_.product += all_[i + 2];
    alignment_.update_squares += all_[i + 3];
  }
  report_.gradient_norm = std::sqrt(alignment_.gradient_squares);
}

void OptimizerGraph::update(Stream& stream) {
  if (!apply_ || report_.bad >= 0) return;
  if (config_.hypergradient.enabled)
    rate_factor_ = scheduler::next_rate_factor(config_.hypergradient, rate_factor_, alignment_);
  report_.rate_factor = rate_factor_;
  const bool clips = config_.clip > 0 && report_.gradient_norm > config_.clip;
  for (const Group& group : groups_) {
    adamw_pieces_.clear();
    for (const std::span<const OwnedPiece> pieces :
         {std::span(group.pieces), std::span(group.replicas)})
      for (const OwnedPiece& piece : pieces)
        adamw_pieces_.push_back({.parameter = piece.value,
                                 .gradient = piece.gradient,
                                 .first_moment = piece.first_moment,
                                 .second_moment = piece.second_moment,
                                 .size = piece.size});
    kernels::adamw(stream,
                   {.rate = rate_ * rate_factor_ * group.rule.rate_factor,
                    .beta1 = config_.beta1,
                    .beta2 = config_.beta2,
                    .eps = config_.eps,
                    .weight_decay = group.rule.weight_decay,
                    .step = step_,
                    .gradient_scale = clips ? config_.clip / report_.gradient_norm : 1},
                   adamw_pieces_);
  }
  update_router_bias();
}

// An expert below the mean load is raised, one above it lowered (arXiv:2408.15664, algorithm 1).
void OptimizerGraph::update_router_bias() {
  if (model_->gate != "sigmoid_bias") return;
  for (const OwnedPiece& piece : storage_->pieces()) {
    const ParameterSpec& spec = storage_->layout().spec(piece.id);
    if (spec.kind != ParameterKind::router_bias) continue;
    const std::vector<int64_t>& counts =
        state_->statistics.layers[static_cast<size_t>(spec.layer)].counts;
    int64_t sum = 0;
    for (int64_t count : counts) sum += count;
    for (int64_t i = 0; i < piece.size; ++i) {
      const int64_t scaled =
          counts[static_cast<size_t>(piece.begin + i)] * static_cast<int64_t>(counts.size());
      const double direction = scaled < sum ? 1 : scaled > sum ? -1 : 0;
      piece.value[i] += static_cast<Real>(bias_rate_ * direction);
    }
  }
}

}  // namespace hecate::models
