#include "models/builder.h"

#include "runtime/kernels/gemm.h"
#include "sharding/exec/dense_shards.h"

namespace hecate::models {

Builder::Builder(graph::StepGraph& graph, const ModelConfig& model, const RouterConfig& router,
                 const ParameterLayout& layout, ModelState& state, BatchShape batch,
                 const Parallel& parallel)
    : graph_(&graph),
      model_(&model),
      router_(&router),
      layout_(&layout),
      state_(&state),
      batch_(batch),
      parallel_(parallel) {
  const size_t groups = static_cast<size_t>(model.layers) + 1;
  std::vector<int64_t> dense(groups, 0), experts(groups, 0);
  for (const ParameterSpec& spec : layout.specs())
    (spec.kind == ParameterKind::expert ? experts : dense)[static_cast<size_t>(spec.layer + 1)] +=
        spec.size();
  for (size_t group = 0; group < groups; ++group) {
    expert_weights_.push_back(
        external("expert_weights", group, experts[group], MemoryCategory::parameters));
    expert_gradients_.push_back(
        external("expert_gradients", group, experts[group], MemoryCategory::gradients));
  }
  fresh_gradients() ? add_dense_rings() : add_dense(dense);
}

BufferId Builder::external(const char* what, size_t group, int64_t elements,
                           MemoryCategory category) {
  return graph_->add_external(concat(what, ".", static_cast<int64_t>(group) - 1), dtype_of<Real>(),
                              elements, category);
}

void Builder::add_dense(const std::vector<int64_t>& elements) {
  for (size_t group = 0; group < elements.size(); ++group) {
    weights_.push_back(external("weights", group, elements[group], MemoryCategory::parameters));
    gradients_.push_back(external("gradients", group, elements[group], MemoryCategory::gradients));
  }
}

// Layers that share a ring share the buffer, which orders them. What precedes and follows the
// layers has one too: both parts at once, or in turns.
void Builder::add_dense_rings() {
  const sharding::exec::DenseShards& shards = *parallel_.dense;
  const int64_t last = shards.buckets() - 1;
  const auto ends = [&](const auto& ring, const auto& elements) {
    return elements(ring(0)) + (ring(last) == ring(0) ? 0 : elements(ring(last)));
  };
  const auto add = [&](const char* what, MemoryCategory category, std::vector<BufferId>& buffers,
                       const auto& ring, const auto& elements) {
    buffers.push_back(external(what, 0, ends(ring, elements), category));
    for (int64_t layer = 1; layer < last; ++layer) {
      int64_t first = 1;
      while (ring(first) != ring(layer)) ++first;
      buffers.push_back(first < layer ? buffers[static_cast<size_t>(first)]
                                      : external(what, static_cast<size_t>(layer),
                                                 elements(ring(layer)), category));
    }
  };
  add(
      "weights", MemoryCategory::materialized, weights_,
      [&](int64_t bucket) { return shards.value_ring(bucket); },
      [&](int64_t ring) { return shards.value_ring_elements(ring); });
  add(
      "gradients", MemoryCategory::gradients, gradients_,
      [&](int64_t bucket) { return shards.gradient_ring(bucket); },
      [&](int64_t ring) { return shards.gradient_ring_elements(ring); });
}

bool Builder::fresh_gradients() const {
  return parallel_.dense != nullptr && parallel_.dense->in_rings();
}

void Builder::enter(int32_t layer, bool backward) {
  layer_ = layer;
  backward_ = backward;
}

std::string Builder::full_name(const std::string& name) const {
  return layer_ < 0 ? name : concat("layers.", layer_, ".", name);
}

BufferId Builder::matrix(const std::string& name, int64_t rows, int64_t columns) {
  return graph_->add_buffer(full_name(name), dtype_of<Real>(), rows * columns);
}

BufferId Builder::integers(const std::string& name, int64_t rows, int64_t columns) {
  return graph_->add_buffer(full_name(name), DType::i32, rows * columns);
}

BufferId Builder::counts(const std::string& name, int64_t count) {
  return graph_->add_buffer(full_name(name), DType::i64, count);
}

BufferId Builder::pooled(const std::string& name, RowsId rows, int64_t columns) {
  return graph_->add_pooled(full_name(name), dtype_of<Real>(), rows, columns);
}

BufferId Builder::pooled_integers(const std::string& name, RowsId rows, int64_t columns) {
  return graph_->add_pooled(full_name(name), DType::i32, rows, columns);
}

bool Builder::has_weight(const std::string& name) const {
  return layout_->find_or_none(full_name(name)) >= 0;
}

Weight Builder::weight(const std::string& name) const {
  const ParameterId id = layout_->find(full_name(name));
  return {.state = state_,
          .id = id,
          .shape = layout_->spec(id).shape,
          .fresh_gradient = fresh_gradients()};
}

int32_t Builder::op(OpKind kind, const std::string& name, std::vector<BufferId> reads,
                    std::vector<BufferId> writes, OpCost cost, std::function<void(OpContext&)> run,
                    graph::When when) {
  return lane_op(LaneKind::compute, kind, name, std::move(reads), std::move(writes), cost,
                 std::move(run), when);
}

int32_t Builder::lane_op(LaneKind lane, OpKind kind, const std::string& name,
                         std::vector<BufferId> reads, std::vector<BufferId> writes, OpCost cost,
                         std::function<void(OpContext&)> run, graph::When when) {
  graph::Op op;
  op.name = full_name(name);
  op.kind = kind;
  op.lane = lane;
  op.layer = layer_;
  op.backward = backward_;
  op.when = when;
  op.reads = std::move(reads);
  op.writes = std::move(writes);
  op.cost = cost;
  op.run = std::move(run);
  return graph_->add(std::move(op));
}

BufferId Builder::token(const std::string& name) {
  tokens_.push_back(graph_->add_external(full_name(name), DType::u8, 1, MemoryCategory::buffers));
  return tokens_.back();
}

void Builder::bind_parameters(graph::Executor& executor) const {
  for (const auto* group : {&weights_, &gradients_, &expert_weights_, &expert_gradients_, &tokens_})
    for (BufferId id : *group) executor.bind(id, state_);  // a token address: never dereferenced
}

namespace {

OpCost gemm_cost(int64_t rows, const Weight& w) {
  const auto elements = static_cast<double>(w.shape.size());
  const auto height = static_cast<double>(rows);
  return {.flops = 2 * height * elements,
          .bytes = static_cast<double>(sizeof(Real)) *
                   (elements + height * static_cast<double>(w.shape[0] + w.shape[1])),
          .rows = {},
          .flops_per_row = 0,
          .bytes_per_row = 0};
}

void add_weight_gradient(Builder& b, const std::string& name, BufferId x, BufferId dy, int64_t rows,
                         const Weight& w) {
  b.op(OpKind::gemm, name + ".dw", {x, dy}, {b.gradients()}, gemm_cost(rows, w), [=](OpContext& c) {
    kernels::linear_backward_weight(c.stream(), c.view<const Real>(dy, {rows, w.shape[0]}),
                                    c.view<const Real>(x, {rows, w.shape[1]}), w.gradient(),
                                    w.accumulates());
  });
}

void add_input_gradient(Builder& b, const std::string& name, BufferId dy, int64_t rows,
                        const Weight& w, BufferId dx, bool accumulate) {
  b.op(OpKind::gemm, name + ".dx", {dy, b.weights()}, {dx}, gemm_cost(rows, w), [=](OpContext& c) {
    kernels::linear_backward_input(c.stream(), c.view<const Real>(dy, {rows, w.shape[0]}),
                                   w.value(), c.view<Real>(dx, {rows, w.shape[1]}), accumulate);
  });
}

}  // namespace

BufferId linear(Builder& b, const std::string& name, BufferId x, int64_t rows, const Weight& w) {
  const BufferId y = b.matrix(name, rows, w.shape[0]);
  b.op(OpKind::gemm, name, {x, b.weights()}, {y}, gemm_cost(rows, w), [=](OpContext& c) {
    kernels::linear(c.stream(), c.view<const Real>(x, {rows, w.shape[1]}), w.value(),
                    c.view<Real>(y, {rows, w.shape[0]}));
  });
  return y;
}

BufferId linear_backward(Builder& b, const std::string& name, BufferId x, BufferId dy, int64_t rows,
                         const Weight& w) {
  add_weight_gradient(b, name, x, dy, rows, w);
  const BufferId dx = b.matrix(name + ".dx", rows, w.shape[1]);
  add_input_gradient(b, name, dy, rows, w, dx, false);
  return dx;
}

void linear_backward_into(Builder& b, const std::string& name, BufferId x, BufferId dy,
                          int64_t rows, const Weight& w, BufferId dx) {
  add_weight_gradient(b, name, x, dy, rows, w);
  add_input_gradient(b, name, dy, rows, w, dx, true);
}

}  // namespace hecate::models
