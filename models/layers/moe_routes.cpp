#include "models/layers/moe_routes.h"

#include <algorithm>

#include "runtime/kernels/permute.h"
#include "sharding/exec/expert_runtime.h"

namespace hecate::models {
namespace {

constexpr double kReal = sizeof(Real);

OpCost index_cost(int64_t choices) {
  return {.flops = 0,
          .bytes = 12.0 * static_cast<double>(choices),
          .rows = {},
          .flops_per_row = 0,
          .bytes_per_row = 0};
}

OpCost move_cost(RowsId rows, int64_t width) {
  return {.flops = 0,
          .bytes = 0,
          .rows = rows,
          .flops_per_row = 0,
          .bytes_per_row = 2 * kReal * static_cast<double>(width)};
}

class LocalRoutes final : public MoeRoutes {
 public:
  LocalRoutes(const Builder& b, const MoeGate& gate)
      : gate_(gate),
        tokens_(b.tokens()),
        offsets_(static_cast<size_t>(b.model().experts) + 1),
        taken_(static_cast<size_t>(b.model().experts)),
        state_(b.state()) {}

  Saved plan(Builder& b, const MoeGate::Saved& gate) override {
    const int64_t choices = tokens_ * gate_.top_k();
    const RowsId rows = b.graph().add_rows(concat("layers.", b.layer(), ".ffn.rows"), choices);
    const Saved saved{.row_of = b.integers("ffn.row_of", tokens_, gate_.top_k()),
                      .choice_of = b.integers("ffn.choice_of", choices, 1),
                      .token_rows = rows,
                      .expert_rows = rows};
    b.op(OpKind::routing, "ffn.plan", {gate.logits, gate.probabilities, gate.counts},
         {gate.experts, saved.row_of, saved.choice_of}, index_cost(choices),
         [this, gate, saved](OpContext& c) { run_plan(c, gate, saved); });
    return saved;
  }
  BufferId to_experts(Builder&, const Saved&, BufferId rows, const char*) override { return rows; }
  BufferId to_tokens(Builder&, const Saved&, BufferId rows, const char*) override { return rows; }
  std::span<const int64_t> offsets() const override { return offsets_; }

 private:
  void run_plan(OpContext& c, const MoeGate::Saved& gate, const Saved& saved) {
    if (!state_->scalars.accumulate) std::ranges::fill(taken_, 0);
    const int64_t top_k = gate_.top_k();
    gate_.settle(c, gate,
                 {.total = c.view<const int64_t>(gate.counts, {gate_.counts_size()}).data(),
                  .taken = taken_});
    c.set_rows(
        saved.token_rows,
        kernels::plan_permutation(c.stream(), c.view<const int32_t>(gate.experts, {tokens_, top_k}),
                                  offsets_, c.view<int32_t>(saved.row_of, {tokens_, top_k}),
                                  c.view<int32_t>(saved.choice_of, {tokens_ * top_k})));
  }

  MoeGate gate_;
  int64_t tokens_;
  std::vector<int64_t> offsets_, taken_;
  ModelState* state_;
};

/// Over the ranks of a domain: counts are exchanged and every rank plans the same dispatch on the
/// host, then rows travel on the dispatch lane.
class DomainRoutes final : public MoeRoutes {
 public:
  DomainRoutes(const Builder& b, const MoeGate& gate, const ExpertOps& ops)
      : gate_(gate),
        tokens_(b.tokens()),
        d_(b.model().d_model),
        ops_(&ops),
        index_(ops.use(b.layer()).index),
        offsets_(static_cast<size_t>(b.model().experts) + 1),
        state_(b.state()),
        runtime_(b.parallel().experts) {}

  Saved plan(Builder& b, const MoeGate::Saved& gate) override;
  BufferId to_experts(Builder& b, const Saved& saved, BufferId rows, const char* name) override;
  BufferId to_tokens(Builder& b, const Saved& saved, BufferId rows, const char* name) override;
  std::span<const int64_t> offsets() const override { return dispatcher().expert_offsets(); }

 private:
  sharding::exec::TokenDispatcher& dispatcher() const { return runtime_->dispatcher(index_); }
  void add_counts(Builder& b, const MoeGate::Saved& gate, const Saved& saved);
  void run_order(OpContext& c, const MoeGate::Saved& gate, const Saved& saved);
  void run_expert_order(OpContext& c, const Saved& saved) const;
  void reorder(OpContext& c, BufferId from, BufferId order, BufferId to, int64_t rows) const;

  MoeGate gate_;
  int64_t tokens_, d_;
  const ExpertOps* ops_;
  int64_t index_;
  std::vector<int64_t> offsets_;  // of the token side, by expert
  ModelState* state_;
  sharding::exec::ExpertRuntime* runtime_;
  BufferId planned_;         // orders operations after the plan
  BufferId arrival_, back_;  // [expert rows] i32
};

MoeRoutes::Saved DomainRoutes::plan(Builder& b, const MoeGate::Saved& gate) {
  const int64_t choices = tokens_ * gate_.top_k();
  const Saved saved{
      .row_of = b.integers("ffn.row_of", tokens_, gate_.top_k()),
      .choice_of = b.integers("ffn.choice_of", choices, 1),
      .token_rows = b.graph().add_rows(concat("layers.", b.layer(), ".ffn.rows"), choices),
      .expert_rows = b.graph().add_rows(concat("layers.", b.layer(), ".ffn.expert_rows"), choices)};
  add_counts(b, gate, saved);
  arrival_ = b.pooled_integers("ffn.arrival", saved.expert_rows, 1);
  back_ = b.pooled_integers("ffn.back", saved.expert_rows, 1);
  b.op(OpKind::routing, "ffn.order", {planned_, gate.logits, gate.probabilities},
       {gate.experts, saved.row_of, saved.choice_of}, index_cost(choices),
       [this, gate, saved](OpContext& c) { run_order(c, gate, saved); });
  b.op(OpKind::routing, "ffn.expert_order", {planned_}, {arrival_, back_}, index_cost(choices),
       [this, saved](OpContext& c) { run_expert_order(c, saved); });
  return saved;
}

void DomainRoutes::add_counts(Builder& b, const MoeGate::Saved& gate, const Saved& saved) {
  const BufferId exchanged = b.token("ffn.counts.exchanged");
  planned_ = b.token("ffn.planned");
  b.lane_op(LaneKind::dispatch, OpKind::dispatch, "ffn.counts", {gate.counts}, {exchanged},
            {.flops = 0,
             .bytes = 8.0 * static_cast<double>(gate_.counts_size()),
             .rows = {},
             .flops_per_row = 0,
             .bytes_per_row = 0},
            [this, gate](OpContext& c) {
              dispatcher().exchange_counts(
                  {c.view<const int64_t>(gate.counts, {gate_.counts_size()}).data(),
                   static_cast<size_t>(gate_.counts_size())});
            });
  b.lane_op(LaneKind::host, OpKind::host, "ffn.plan", {exchanged}, {planned_}, {},
            [this, saved](OpContext& c) {
              dispatcher().admit(gate_.capacity(), !state_->scalars.accumulate);
              if (runtime_->calibrates()) runtime_->calibrate(index_);
              dispatcher().plan(runtime_->materializer().placement(index_),
                                d_ * static_cast<int64_t>(sizeof(Real)), runtime_->copies(index_));
              c.set_rows(saved.token_rows, dispatcher().token_rows());
              c.set_rows(saved.expert_rows, dispatcher().expert_rows());
            });
  ops_->extend(b, planned_);
}

void DomainRoutes::run_order(OpContext& c, const MoeGate::Saved& gate, const Saved& saved) {
  const int64_t top_k = gate_.top_k();
  gate_.settle(c, gate,
               {.total = dispatcher().total().data(), .taken = dispatcher().taken_before()});
  const auto row_of = c.view<int32_t>(saved.row_of, {tokens_, top_k});
  const auto choice_of = c.view<int32_t>(saved.choice_of, {tokens_ * top_k});
  const int64_t rows =
      kernels::plan_permutation(c.stream(), c.view<const int32_t>(gate.experts, {tokens_, top_k}),
                                offsets_, row_of, choice_of);
  HECATE_CHECK(rows == dispatcher().token_rows(), c.op().name, ": ", rows, " rows, planned for ",
               dispatcher().token_rows());
  auto* position = reinterpret_cast<int32_t*>(
      c.stream().workspace(static_cast<size_t>(std::max<int64_t>(1, rows)) * sizeof(int32_t)));
  dispatcher().token_order({position, static_cast<size_t>(rows)});
  for (int64_t t = 0; t < tokens_; ++t)
    for (int64_t k = 0; k < top_k; ++k) {
      int32_t& row = row_of.row(t)[k];
      if (row < 0) continue;
      row = position[row];
      choice_of.data()[row] = static_cast<int32_t>(t * top_k + k);
    }
}

void DomainRoutes::run_expert_order(OpContext& c, const Saved& saved) const {
  const int64_t rows = c.rows(saved.expert_rows);
  const auto size = static_cast<size_t>(rows);
  dispatcher().expert_order({c.view<int32_t>(arrival_, {rows}).data(), size},
                            {c.view<int32_t>(back_, {rows}).data(), size});
}

void DomainRoutes::reorder(OpContext& c, BufferId from, BufferId order, BufferId to,
                           int64_t rows) const {
  kernels::permute(c.stream(), c.view<const Real>(from, {rows, d_}), 1,
                   c.view<const int32_t>(order, {rows}), c.view<Real>(to, {rows, d_}));
}

BufferId DomainRoutes::to_experts(Builder& b, const Saved& saved, BufferId rows, const char* name) {
  const BufferId received = b.pooled(concat(name, ".received"), saved.expert_rows, d_);
  b.lane_op(LaneKind::dispatch, OpKind::dispatch, concat(name, ".dispatch"), {rows, planned_},
            {received}, move_cost(saved.token_rows, d_),
            [this, saved, rows, received](OpContext& c) {
              dispatcher().dispatch(c.view<const Real>(rows, {c.rows(saved.token_rows), d_}).data(),
                                    c.view<Real>(received, {c.rows(saved.expert_rows), d_}).data());
            });
  const BufferId sorted = b.pooled(name, saved.expert_rows, d_);
  b.op(OpKind::permutation, concat(name, ".sort"), {received, arrival_}, {sorted},
       move_cost(saved.expert_rows, d_), [this, saved, received, sorted](OpContext& c) {
         reorder(c, received, arrival_, sorted, c.rows(saved.expert_rows));
       });
  return sorted;
}

BufferId DomainRoutes::to_tokens(Builder& b, const Saved& saved, BufferId rows, const char* name) {
  const BufferId packed = b.pooled(concat(name, ".packed"), saved.expert_rows, d_);
  b.op(OpKind::permutation, concat(name, ".unsort"), {rows, back_}, {packed},
       move_cost(saved.expert_rows, d_), [this, saved, rows, packed](OpContext& c) {
         reorder(c, rows, back_, packed, c.rows(saved.expert_rows));
       });
  const BufferId returned = b.pooled(name, saved.token_rows, d_);
  b.lane_op(
      LaneKind::dispatch, OpKind::combine, concat(name, ".combine"), {packed, planned_}, {returned},
      move_cost(saved.token_rows, d_), [this, saved, packed, returned](OpContext& c) {
        dispatcher().combine(c.view<const Real>(packed, {c.rows(saved.expert_rows), d_}).data(),
                             c.view<Real>(returned, {c.rows(saved.token_rows), d_}).data());
      });
  return returned;
}

}  // namespace

std::shared_ptr<MoeRoutes> make_routes(const Builder& b, const MoeGate& gate,
                                       const ExpertOps& ops) {
  if (b.parallel().experts == nullptr) return std::make_shared<LocalRoutes>(b, gate);
  return std::make_shared<DomainRoutes>(b, gate, ops);
}

}  // namespace hecate::models
