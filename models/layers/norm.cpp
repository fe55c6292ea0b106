#include "models/layers/norm.h"

#include "runtime/kernels/elementwise.h"
#include "runtime/kernels/norm.h"

namespace hecate::models {
namespace {

OpCost pass_cost(int64_t rows, int64_t columns, double passes) {
  const double elements = static_cast<double>(rows * columns);
  return {.flops = 8 * elements,
          .bytes = passes * elements * sizeof(Real),
          .rows = {},
          .flops_per_row = 0,
          .bytes_per_row = 0};
}

}  // namespace

Norm::Norm(const Builder& b, std::string name)
    : name_(std::move(name)),
      layer_norm_(b.has_weight(name_ + ".bias")),
      eps_(static_cast<Real>(b.model().norm_eps)),
      weight_(b.weight(name_ + ".weight")),
      bias_(layer_norm_ ? b.weight(name_ + ".bias") : weight_) {}

Norm::Saved Norm::forward(Builder& b, BufferId x, int64_t rows) const {
  const int64_t n = weight_.shape[0];
  Saved saved{.x = x,
              .y = b.matrix(name_, rows, n),
              .mean = layer_norm_ ? b.matrix(name_ + ".mean", rows, 1) : BufferId{},
              .rstd = b.matrix(name_ + ".rstd", rows, 1)};
  std::vector<BufferId> writes = {saved.y, saved.rstd};
  if (layer_norm_) writes.push_back(saved.mean);
  b.op(OpKind::normalization, name_, {x, b.weights()}, writes, pass_cost(rows, n, 2),
       [=, self = *this](OpContext& c) {
         const auto in = c.view<const Real>(x, {rows, n});
         const auto out = c.view<Real>(saved.y, {rows, n});
         const auto rstd = c.view<Real>(saved.rstd, {rows});
         if (self.layer_norm_)
           kernels::layer_norm(c.stream(), in, self.weight_.value(), self.bias_.value(), self.eps_,
                               out, c.view<Real>(saved.mean, {rows}), rstd);
         else
           kernels::rms_norm(c.stream(), in, self.weight_.value(), self.eps_, out, rstd);
       });
  return saved;
}

void Norm::backward(Builder& b, const Saved& saved, BufferId dy, int64_t rows, BufferId dx,
                    bool accumulate) const {
  const int64_t n = weight_.shape[0];
  std::vector<Weight> weights = {weight_};
  if (layer_norm_) weights.push_back(bias_);
  clear_gradients(b, name_ + ".clear", weights);
  std::vector<BufferId> reads = {saved.x, saved.rstd, dy, b.weights()};
  if (layer_norm_) reads.push_back(saved.mean);
  b.op(OpKind::normalization, name_ + ".dx", reads, {dx, b.gradients()}, pass_cost(rows, n, 4),
       [=, self = *this](OpContext& c) {
         const auto x = c.view<const Real>(saved.x, {rows, n});
         const auto rstd = c.view<const Real>(saved.rstd, {rows});
         const auto gradient = c.view<const Real>(dy, {rows, n});
         const auto out = c.view<Real>(dx, {rows, n});
         if (self.layer_norm_)
           kernels::layer_norm_backward(c.stream(), x, self.weight_.value(),
                                        c.view<const Real>(saved.mean, {rows}), rstd, gradient, out,
                                        accumulate, self.weight_.gradient(), self.bias_.gradient());
         else
           kernels::rms_norm_backward(c.stream(), x, self.weight_.value(), rstd, gradient, out,
                                      accumulate, self.weight_.gradient());
       });
}

void clear_gradients(Builder& b, const std::string& name, std::vector<Weight> weights) {
  double bytes = 0;
  for (const Weight& weight : weights)
    bytes += static_cast<double>(weight.shape.size()) * sizeof(Real);
  b.op(
      OpKind::elementwise, name, {}, {b.gradients()},
      {.flops = 0, .bytes = bytes, .rows = {}, .flops_per_row = 0, .bytes_per_row = 0},
      [weights = std::move(weights)](OpContext& c) {
        for (const Weight& weight : weights) kernels::fill(c.stream(), Real{0}, weight.gradient());
      },
      b.fresh_gradients() ? graph::When::always : graph::When::first_micro_batch);
}

}  // namespace hecate::models
