#include "models/layers/feed_forward.h"

namespace hecate::models {
namespace {

kernels::Activation kind_of(const ModelConfig& config) {
  if (config.activation == "gelu") return kernels::Activation::gelu;
  if (config.activation == "gelu_tanh") return kernels::Activation::gelu_tanh;
  if (config.activation == "squared_relu") return kernels::Activation::squared_relu;
  return kernels::Activation::silu;
}

// Columns [begin, begin + width) of a matrix.
template <class T>
View<T> columns(const View<T>& x, int64_t begin, int64_t width) {
  return View<T>(x.data() + begin, {x.rows(), width}, x.row_stride());
}

}  // namespace

FeedForwardActivation::FeedForwardActivation(const ModelConfig& config)
    : gated(config.gated()), kind(kind_of(config)) {}

void FeedForwardActivation::forward(Stream& s, View<const Real> up, View<Real> out) const {
  const int64_t width = out.dim(1);
  if (gated)
    kernels::swiglu(s, columns(up, 0, width), columns(up, width, width), out);
  else
    kernels::activation(s, kind, up, out);
}

void FeedForwardActivation::backward(Stream& s, View<const Real> up, View<const Real> dout,
                                     View<Real> dup) const {
  const int64_t width = dout.dim(1);
  if (gated)
    kernels::swiglu_backward(s, columns(up, 0, width), columns(up, width, width), dout,
                             columns(dup, 0, width), columns(dup, width, width));
  else
    kernels::activation_backward(s, kind, up, dout, dup);
}

FeedForward::FeedForward(const Builder& b, std::string prefix)
    : prefix_(std::move(prefix)),
      tokens_(b.tokens()),
      activation_(b.model()),
      up_(b.weight(prefix_ + ".up")),
      down_(b.weight(prefix_ + ".down")) {}

BufferId FeedForward::forward(Builder& b, BufferId x, Saved& saved) const {
  const int64_t width = down_.shape[1];
  saved.x = x;
  saved.up = linear(b, prefix_ + ".up", x, tokens_, up_);
  saved.hidden = b.matrix(prefix_ + ".hidden", tokens_, width);
  const double elements = static_cast<double>(tokens_ * width);
  b.op(OpKind::elementwise, prefix_ + ".activation", {saved.up}, {saved.hidden},
       {.flops = 10 * elements,
        .bytes = elements * static_cast<double>(activation_.fan() + 1) * sizeof(Real),
        .rows = {},
        .flops_per_row = 0,
        .bytes_per_row = 0},
       [self = *this, saved, width](OpContext& c) {
         self.activation_.forward(c.stream(),
                                  c.view<const Real>(saved.up, {self.tokens_, self.up_.shape[0]}),
                                  c.view<Real>(saved.hidden, {self.tokens_, width}));
       });
  return linear(b, prefix_ + ".down", saved.hidden, tokens_, down_);
}

BufferId FeedForward::backward(Builder& b, const Saved& saved, BufferId dy) const {
  const int64_t width = down_.shape[1];
  const BufferId dhidden = linear_backward(b, prefix_ + ".down", saved.hidden, dy, tokens_, down_);
  const double elements = static_cast<double>(tokens_ * width);
  b.op(OpKind::elementwise, prefix_ + ".activation.dx", {dhidden}, {saved.up},
       {.flops = 16 * elements,
        .bytes = elements * static_cast<double>(2 * activation_.fan() + 1) * sizeof(Real),
        .rows = {},
        .flops_per_row = 0,
        .bytes_per_row = 0},
       [self = *this, saved, dhidden, width](OpContext& c) {
         const auto up = c.view<Real>(saved.up, {self.tokens_, self.up_.shape[0]});
         self.activation_.backward(c.stream(), up,
                                   c.view<const Real>(dhidden, {self.tokens_, width}), up);
       });
  return linear_backward(b, prefix_ + ".up", saved.x, saved.up, tokens_, up_);
}

}  // namespace hecate::models
