#pragma once
#include <memory>
#include <span>
#include <vector>

#include "models/builder.h"
#include "models/dense_ops.h"
#include "models/expert_ops.h"
#include "models/kv_cache.h"
#include "models/layers/attention.h"
#include "models/mup.h"

namespace hecate::models {

enum class GraphMode : uint8_t {
  train,     ///< forward, loss and backward: gradients of every parameter
  evaluate,  ///< forward and loss
  logits,    ///< forward and logits [T,V]
  decode,    ///< the same for the next token of each sequence, over what a cache holds
};

/// External buffers that the caller binds, all of T tokens.
struct GraphInputs {
  BufferId tokens;          ///< [T] i32 in [0,V)
  BufferId targets;         ///< [T] i32, negative = no loss; only where there is a loss
  BufferId document_begin;  ///< [T] i32; invalid unless documents are masked
  BufferId logits;          ///< [T,V] Real output; only in modes logits and decode
};

/// The step graph of one micro-batch of a transformer, built from its configuration. Statistics and
/// losses appear in the model state. All references outlive the object.
class TransformerGraph {
 public:
  /// @param documents attention is masked to documents.
  /// @param parallel how the model spreads over ranks; all ranks must build and run the same graph.
  /// @param cache of modes logits (optional: filled with the batch from position 0 on) and decode
  ///   (read and filled; the batch is one token of each of its sequences). It needs room for every
  ///   position of a run.
  /// @throws InvalidArgument if the configuration is impossible.
  TransformerGraph(const ModelConfig& model, const RouterConfig& router,
                   const ParameterLayout& layout, ModelState& state, BatchShape batch,
                   GraphMode mode, bool documents, const Parallel& parallel = {},
                   KvCache* cache = nullptr);
  ~TransformerGraph();
  TransformerGraph(const TransformerGraph&) = delete;
  TransformerGraph& operator=(const TransformerGraph&) = delete;

  const graph::StepGraph& graph() const { return graph_; }
  const GraphInputs& inputs() const { return inputs_; }
  /// Binds what does not change between runs: parameters, positions, rotary table.
  void bind_constants(graph::Executor& executor) const;
  /// Mode decode: where each sequence's next token stands, in [0, model.sequence).
  void set_positions(std::span<const int32_t> positions);

 private:
  struct Layer;

  void add_inputs(bool documents, GraphMode mode);
  void set_cache(KvCache* cache, GraphMode mode, bool documents);
  void make_constants();
  BufferId embed();
  BufferId dropout(const char* name, BufferId x, int32_t which);
  BufferId add_branch(const char* name, BufferId x, BufferId branch, int32_t which);
  BufferId layer_forward(int32_t index, BufferId x, Layer& layer);
  void layer_recompute(int32_t index, Layer& layer);
  void layer_backward(int32_t index, Layer& layer, BufferId dx);
  void add_loss(BufferId hidden, BufferId dhidden, GraphMode mode);
  void add_logits(BufferId hidden);
  void embed_backward(BufferId dx);
  void build(GraphMode mode);
  BufferId branch_gradient(BufferId dx, int32_t which);

  graph::StepGraph graph_;
  Builder builder_;
  ExpertOps expert_ops_;
  DenseOps dense_ops_;
  ForwardMultipliers multipliers_;
  GraphInputs inputs_;
  AttentionInputs attention_inputs_;
  std::vector<std::unique_ptr<Layer>> layers_;
  std::vector<int32_t> positions_, head_positions_, lengths_;
  std::vector<Real> rope_;
};

}  // namespace hecate::models
