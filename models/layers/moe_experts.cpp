#include "models/layers/moe_experts.h"

namespace hecate::models {
namespace {

constexpr double kReal = sizeof(Real);

}  // namespace

MoeExperts::MoeExperts(const Builder& b, const ExpertOps& ops, RowsId rows, Offsets offsets)
    : rows_(rows),
      offsets_(std::move(offsets)),
      d_(b.model().d_model),
      f_(b.model().expert_hidden),
      activation_(b.model()),
      state_(b.state()),
      runtime_(b.parallel().experts),
      use_(ops.use(b.layer())),
      run_(std::make_shared<Pointers>()) {
  up_width_ = activation_.fan() * f_;
  for (int64_t e = 0; e < b.model().experts; ++e) {
    up_ids_.push_back(b.weight(concat("ffn.experts.", e, ".up")).id);
    down_ids_.push_back(b.weight(concat("ffn.experts.", e, ".down")).id);
  }
  down_offset_ = b.layout().offset(down_ids_.front()) - b.layout().offset(up_ids_.front());
  run_->up.resize(up_ids_.size());
  run_->down.resize(up_ids_.size());
  run_->dup.resize(up_ids_.size());
  run_->ddown.resize(up_ids_.size());
}

OpCost MoeExperts::row_cost(double flops, double bytes) const {
  return {.flops = 0, .bytes = 0, .rows = rows_, .flops_per_row = flops, .bytes_per_row = bytes};
}

OpCost MoeExperts::up_cost() const {
  return row_cost(2.0 * static_cast<double>(d_ * up_width_),
                  kReal * static_cast<double>(d_ + up_width_));
}

OpCost MoeExperts::down_cost() const {
  return row_cost(2.0 * static_cast<double>(d_ * f_), kReal * static_cast<double>(d_ + f_));
}

void MoeExperts::resolve() const {
  for (size_t e = 0; e < up_ids_.size(); ++e) {
    if (runtime_ == nullptr) {
      run_->up[e] = state_->parameters.value[static_cast<size_t>(up_ids_[e])];
      run_->down[e] = state_->parameters.value[static_cast<size_t>(down_ids_[e])];
      continue;
    }
    const Real* chunk =
        runtime_->materializer().value(use_.index, static_cast<int64_t>(e), use_.parameter_ring);
    run_->up[e] = chunk;
    run_->down[e] = chunk == nullptr ? nullptr : chunk + down_offset_;
  }
}

void MoeExperts::resolve_gradients() const {
  for (size_t e = 0; e < up_ids_.size(); ++e) {
    if (runtime_ == nullptr) {
      run_->dup[e] = state_->parameters.gradient[static_cast<size_t>(up_ids_[e])];
      run_->ddown[e] = state_->parameters.gradient[static_cast<size_t>(down_ids_[e])];
      continue;
    }
    Real* chunk =
        runtime_->materializer().gradient(use_.index, static_cast<int64_t>(e), use_.gradient_ring);
    run_->dup[e] = chunk;
    run_->ddown[e] = chunk == nullptr ? nullptr : chunk + down_offset_;
  }
}

std::vector<BufferId> MoeExperts::reads(const Builder& b, std::vector<BufferId> ids) const {
  ids.push_back(b.expert_weights());
  if (use_.parameters.valid()) ids.push_back(use_.parameters);
  if (use_.extension.valid()) ids.push_back(use_.extension);
  return ids;
}

std::vector<BufferId> MoeExperts::gradient_writes(const Builder& b) const {
  std::vector<BufferId> ids = {b.expert_gradients()};
  if (use_.gradients.valid()) ids.push_back(use_.gradients);
  return ids;
}

kernels::ExpertWeights MoeExperts::up_weights() const {
  return {.data = run_->up, .n = up_width_, .k = d_};
}

kernels::ExpertWeights MoeExperts::down_weights() const {
  return {.data = run_->down, .n = d_, .k = f_};
}

void MoeExperts::forward(Builder& b, Saved& saved) const {
  saved.up = b.pooled("ffn.up", rows_, up_width_);
  saved.hidden = b.pooled("ffn.hidden", rows_, f_);
  saved.out = b.pooled("ffn.out", rows_, d_);
  b.op(OpKind::expert_gemm, "ffn.experts.up", reads(b, {saved.rows}), {saved.up}, up_cost(),
       [self = *this, saved](OpContext& c) {
         const int64_t count = c.rows(self.rows_);
         self.resolve();
         kernels::grouped_linear(c.stream(), c.view<const Real>(saved.rows, {count, self.d_}),
                                 self.offsets_(), self.up_weights(),
                                 c.view<Real>(saved.up, {count, self.up_width_}));
       });
  b.op(OpKind::elementwise, "ffn.experts.activation", {saved.up}, {saved.hidden},
       row_cost(10.0 * static_cast<double>(f_), kReal * static_cast<double>(up_width_ + f_)),
       [self = *this, saved](OpContext& c) {
         const int64_t count = c.rows(self.rows_);
         self.activation_.forward(c.stream(), c.view<const Real>(saved.up, {count, self.up_width_}),
                                  c.view<Real>(saved.hidden, {count, self.f_}));
       });
  b.op(OpKind::expert_gemm, "ffn.experts.down", reads(b, {saved.hidden}), {saved.out}, down_cost(),
       [self = *this, saved](OpContext& c) {
         const int64_t count = c.rows(self.rows_);
         kernels::grouped_linear(c.stream(), c.view<const Real>(saved.hidden, {count, self.f_}),
                                 self.offsets_(), self.down_weights(),
                                 c.view<Real>(saved.out, {count, self.d_}));
       });
}

BufferId MoeExperts::backward(Builder& b, const Saved& saved) const {
  const BufferId drows = b.pooled("ffn.drows", rows_, d_);
  const BufferId dhidden = b.pooled("ffn.dhidden", rows_, f_);
  b.op(OpKind::expert_gemm, "ffn.experts.down.dx", reads(b, {saved.out}), {dhidden}, down_cost(),
       [self = *this, saved, dhidden](OpContext& c) {
         const int64_t count = c.rows(self.rows_);
         self.resolve();
         kernels::grouped_linear_backward_input(
             c.stream(), c.view<const Real>(saved.out, {count, self.d_}), self.offsets_(),
             self.down_weights(), c.view<Real>(dhidden, {count, self.f_}));
       });
  b.op(OpKind::elementwise, "ffn.experts.activation.dx", {dhidden}, {saved.up},
       row_cost(16.0 * static_cast<double>(f_), kReal * static_cast<double>(2 * up_width_ + f_)),
       [self = *this, saved, dhidden](OpContext& c) {
         const int64_t count = c.rows(self.rows_);
         const auto up = c.view<Real>(saved.up, {count, self.up_width_});
         self.activation_.backward(c.stream(), up, c.view<const Real>(dhidden, {count, self.f_}),
                                   up);
       });
  b.op(OpKind::expert_gemm, "ffn.experts.up.dx", reads(b, {saved.up}), {drows}, up_cost(),
       [self = *this, saved, drows](OpContext& c) {
         const int64_t count = c.rows(self.rows_);
         kernels::grouped_linear_backward_input(
             c.stream(), c.view<const Real>(saved.up, {count, self.up_width_}), self.offsets_(),
             self.up_weights(), c.view<Real>(drows, {count, self.d_}));
       });
  // The rows are on their way back while the weight gradients are computed.
  b.op(OpKind::expert_gemm, "ffn.experts.down.dw", {saved.out, saved.hidden}, gradient_writes(b),
       down_cost(), [self = *this, saved](OpContext& c) {
         const int64_t count = c.rows(self.rows_);
         const bool accumulate = self.state_->scalars.accumulate;
         // Replica gradients that were already reduced start from zero again.
         if (accumulate && self.runtime_ != nullptr && !self.runtime_->once_per_step())
           self.runtime_->materializer().clear_gradients(self.use_.index, self.use_.gradient_ring);
         self.resolve_gradients();
         kernels::grouped_linear_backward_weight(
             c.stream(), c.view<const Real>(saved.out, {count, self.d_}),
             c.view<const Real>(saved.hidden, {count, self.f_}), self.offsets_(),
             {.data = self.run_->ddown, .n = self.d_, .k = self.f_}, accumulate);
       });
  b.op(OpKind::expert_gemm, "ffn.experts.up.dw", {saved.up, saved.rows}, gradient_writes(b),
       up_cost(), [self = *this, saved](OpContext& c) {
         const int64_t count = c.rows(self.rows_);
         kernels::grouped_linear_backward_weight(
             c.stream(), c.view<const Real>(saved.up, {count, self.up_width_}),
             c.view<const Real>(saved.rows, {count, self.d_}), self.offsets_(),
             {.data = self.run_->dup, .n = self.up_width_, .k = self.d_},
             self.state_->scalars.accumulate);
       });
  return drows;
}

}  // namespace hecate::models
