#pragma once
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "models/config.h"
#include "models/parallel.h"
#include "models/parameters.h"
#include "models/state.h"
#include "runtime/graph/executor.h"
#include "runtime/graph/step_graph.h"

/// What layers use to append their operations to a step graph.
namespace hecate::models {

using graph::BufferId;
using graph::OpContext;
using graph::OpCost;
using graph::OpKind;
using graph::RowsId;

/// A parameter as operations see it: resolved when they run, since experts and gathered weights
/// move.
struct Weight {
  const ModelState* state = nullptr;
  ParameterId id = -1;
  Shape shape;
  bool fresh_gradient = false;  ///< starts anew in every micro-batch
  bool accumulates() const { return !fresh_gradient && state->scalars.accumulate; }
  View<const Real> value() const {
    return {state->parameters.value[static_cast<size_t>(id)], shape};
  }
  View<Real> gradient() const {
    return {state->parameters.gradient[static_cast<size_t>(id)], shape};
  }
};

/// Shape of the batch that one run of a graph works on.
struct BatchShape {
  int64_t sequences = 1, sequence = 1;
  int64_t tokens() const { return sequences * sequence; }
};

/// Appends operations for one layer at a time, in program order. The model state, layout and graph
/// outlive the graph's last run.
class Builder {
 public:
  Builder(graph::StepGraph& graph, const ModelConfig& model, const RouterConfig& router,
          const ParameterLayout& layout, ModelState& state, BatchShape batch,
          const Parallel& parallel = {});

  const ModelConfig& model() const { return *model_; }
  const RouterConfig& router() const { return *router_; }
  const BatchShape& batch() const { return batch_; }
  const ParameterLayout& layout() const { return *layout_; }
  const Parallel& parallel() const { return parallel_; }
  int64_t tokens() const { return batch_.tokens(); }
  ModelState* state() const { return state_; }
  graph::StepGraph& graph() { return *graph_; }

  /// Following operations belong to `layer` (-1: outside the layers), forward or backward.
  void enter(int32_t layer, bool backward);
  int32_t layer() const { return layer_; }
  bool backward() const { return backward_; }
  /// While true, forward operations are repeats for backward: they must not count statistics.
  void set_recomputing(bool recomputing) { recomputing_ = recomputing; }
  bool recomputing() const { return recomputing_; }

  /// A Real matrix of the current layer. `name` is for timelines.
  BufferId matrix(const std::string& name, int64_t rows, int64_t columns);
  BufferId integers(const std::string& name, int64_t rows, int64_t columns);
  /// i64 numbers.
  BufferId counts(const std::string& name, int64_t count);
  BufferId pooled(const std::string& name, RowsId rows, int64_t columns);
  BufferId pooled_integers(const std::string& name, RowsId rows, int64_t columns);

  /// The parameter "layers.<layer>.<name>", or "<name>" outside the layers.
  Weight weight(const std::string& name) const;
  bool has_weight(const std::string& name) const;
  /// Whether dense gradients start anew in every micro-batch, because they are reduced after each.
  bool fresh_gradients() const;
  /// The external buffers that stand for this layer's dense parameters and gradients.
  BufferId weights() const { return weights_[index()]; }
  BufferId gradients() const { return gradients_[index()]; }
  BufferId expert_weights() const { return expert_weights_[index()]; }
  BufferId expert_gradients() const { return expert_gradients_[index()]; }

  int32_t op(OpKind kind, const std::string& name, std::vector<BufferId> reads,
             std::vector<BufferId> writes, OpCost cost, std::function<void(OpContext&)> run,
             graph::When when = graph::When::always);
  /// An operation of another lane than compute; its cost is the bytes that it moves.
  int32_t lane_op(LaneKind lane, OpKind kind, const std::string& name, std::vector<BufferId> reads,
                  std::vector<BufferId> writes, OpCost cost, std::function<void(OpContext&)> run,
                  graph::When when = graph::When::always);
  /// A buffer without memory of its own: orders operations on something that lives elsewhere.
  BufferId token(const std::string& name);

  /// Binds the external parameter buffers of an executor; their memory belongs to the parameters.
  void bind_parameters(graph::Executor& executor) const;

 private:
  size_t index() const { return static_cast<size_t>(layer_ + 1); }
  BufferId external(const char* what, size_t group, int64_t elements, MemoryCategory category);
  void add_dense(const std::vector<int64_t>& elements);
  void add_dense_rings();
  std::string full_name(const std::string& name) const;

  graph::StepGraph* graph_;
  const ModelConfig* model_;
  const RouterConfig* router_;
  const ParameterLayout* layout_;
  ModelState* state_;
  BatchShape batch_;
  Parallel parallel_;
  int32_t layer_ = -1;
  bool backward_ = false;
  bool recomputing_ = false;
  std::vector<BufferId> weights_, gradients_, expert_weights_, expert_gradients_, tokens_;
};

/// y [rows, out] = x [rows, in] w^T.
BufferId linear(Builder& b, const std::string& name, BufferId x, int64_t rows, const Weight& w);
/// Adds the weight gradient and returns dx [rows, in].
BufferId linear_backward(Builder& b, const std::string& name, BufferId x, BufferId dy, int64_t rows,
                         const Weight& w);
/// The same, adding to an existing dx.
void linear_backward_into(Builder& b, const std::string& name, BufferId x, BufferId dy,
                          int64_t rows, const Weight& w, BufferId dx);

}  // namespace hecate::models
