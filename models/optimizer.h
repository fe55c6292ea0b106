#pragma once
#include <span>
#include <string>
#include <vector>

#include "collectives/communicator.h"
#include "models/storage.h"
#include "runtime/graph/executor.h"
#include "runtime/kernels/adamw.h"
#include "scheduler/hypergradient.h"

namespace hecate::models {

/// Overrides for the parameters whose name matches a shell pattern (*, ?, [...]).
struct OptimizerGroup {
  std::string pattern;
  double rate_factor = 1;
  double weight_decay = -1;  ///< negative: keep the default
  bool frozen = false;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("pattern", self.pattern, "parameter names it is for, e.g. layers.*.ffn.experts.*", any());
    visit("rate_factor", self.rate_factor, "factor on the learning rate", at_least(0));
    visit("weight_decay", self.weight_decay, "in place of optimizer.weight_decay; -1: keep it",
          at_least(-1));
    visit("frozen", self.frozen, "never updated; out of the gradient norm", any());
  }
};

struct OptimizerConfig {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  double weight_decay = 0.1;
  double clip = 1.0;
  scheduler::HypergradientConfig hypergradient;
  std::vector<OptimizerGroup> groups;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("beta1", self.beta1, "decay of the first moment", between(0, 0.9999999));
    visit("beta2", self.beta2, "decay of the second moment", between(0, 0.9999999));
    visit("eps", self.eps, "added to the root of the second moment", at_least(0));
    visit("weight_decay", self.weight_decay, "decoupled; on matrices and embeddings, not on norms",
          at_least(0));
    visit("clip", self.clip, "largest global norm of the gradient; 0: no clipping", at_least(0));
    visit("hypergradient", self.hypergradient, "a rate that adapts to the run");
    visit("groups", self.groups, "overrides by parameter name, later ones win", any());
  }
};

/// How one parameter is updated; what muP asks for is in both factors.
struct UpdateRule {
  double rate_factor = 1;
  double weight_decay = 0;
  bool frozen = false;
  bool operator==(const UpdateRule&) const = default;
};

/// One rule per parameter. @throws InvalidArgument for a group that matches nothing.
std::vector<UpdateRule> update_rules(const ParameterLayout& layout, const OptimizerConfig& config);

/// Result of a step's update.
struct UpdateReport {
  double gradient_norm = 0;  ///< before clipping, over all parameters that are trained
  /// The parameter with a NaN or infinite gradient that backward comes to first: where it began is
  /// there or between there and the loss. -1: none; otherwise nothing moved.
  ParameterId bad = -1;
  /// What the rate was multiplied by: not 1 only with optimizer.hypergradient.
  double rate_factor = 1;
};

/// The update part of a step as a graph: gradient norm, clipping, AdamW, load-driven router bias.
/// Each rank measures and updates the pieces that it owns, and updates its replicas; the norm is
/// summed over ranks in rank order. All references outlive the object.
class OptimizerGraph {
 public:
  /// @param ranks that share the parameters, on lane dense; empty: this one owns all.
  OptimizerGraph(const OptimizerConfig& config, const ModelConfig& model,
                 const RouterConfig& router, Storage& storage, ModelState& state,
                 const collectives::Communicator& ranks = {});
  OptimizerGraph(const OptimizerGraph&) = delete;
  OptimizerGraph& operator=(const OptimizerGraph&) = delete;

  const graph::StepGraph& graph() const { return graph_; }
  void bind(graph::Executor& executor) const;
  /// Set before a run. @param step 1 for the first update. @param apply false: only the norm.
  void prepare(double rate, int64_t step, bool apply = true);
  const UpdateReport& report() const { return report_; }
  /// The hypergradient's factor after the last update, the same on all ranks; part of what
  /// continuing needs.
  double rate_factor() const { return rate_factor_; }
  void set_rate_factor(double factor) { rate_factor_ = factor; }
  /// After the storage's pieces have changed.
  void refresh();

 private:
  /// Pieces that one rule updates.
  struct Group {
    UpdateRule rule;
    std::vector<OwnedPiece> pieces, replicas;
  };

  Group* group_of(const OwnedPiece& piece);
  void add_operations();
  void measure(Stream& stream);
  void agree();
  void update(Stream& stream);
  kernels::AdamW last_options() const;
  void align(Stream& stream, const Group& group, const OwnedPiece& piece);
  void update_router_bias();

  OptimizerConfig config_;
  const ModelConfig* model_;
  double bias_rate_;
  Storage* storage_;
  ModelState* state_;
  collectives::Communicator ranks_;
  std::vector<UpdateRule> rules_;
  std::vector<Group> groups_;
  int64_t elements_ = 0;
  graph::StepGraph graph_;
  graph::BufferId token_;
  double rate_ = 0, rate_factor_ = 1;
  scheduler::UpdateAlignment alignment_;
  int64_t step_ = 1;
  bool apply_ = true;
  UpdateReport report_;
  std::vector<double> all_;  // [ranks, 4]: sums of the alignment, bad parameter
  std::vector<kernels::AdamWPiece> adamw_pieces_;
};

}  // namespace hecate::models
