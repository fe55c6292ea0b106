#include "launcher/bench/plan_study.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/base/error.h"
#include "sharding/balanced/draft.h"
#include "sharding/balanced/planner.h"
#include "sharding/balanced/split.h"
#include "sharding/dispatch.h"
#include "sharding/loads.h"
#include "sharding/materialization.h"
#include "sharding/ownership.h"

namespace hecate::launcher {
namespace {

using collectives::Placement;
namespace balanced = sharding::balanced;

// One layer's run through the samples.
class LayerStudy {
 public:
  LayerStudy(const LoadSamples& loads, const StudyOptions& options, int layer)
      : loads_(loads),
        options_(options),
        layer_(layer),
        nodes_(options.model.cost.topology.node_of),
        tracker_({1, loads.sources, loads.experts}, options.window) {
    const auto owners = sharding::even_ownership(loads.layers, loads.experts, nodes_.node_of());
    owner_.assign(owners.layer(layer).begin(), owners.layer(layer).end());
  }

  StudyFigure sample(int i, bool judged) {
    if (options_.hindsight) record(i);
    StudyFigure figure;
    if (judged) figure = judge(i);
    figure.sample = i;
    figure.layer = layer_;
    if (!options_.hindsight) record(i);
    if (options_.reshard_every > 0 && (i + 1) % options_.reshard_every == 0) {
      const std::vector<int64_t> rows = forecast_rows();
      owner_ = balanced::balanced_owners(problem(rows));
    }
    return figure;
  }

 private:
  void record(int i) {
    sharding::StepLoads step({1, loads_.sources, loads_.experts});
    std::ranges::copy(loads_.at(i, layer_), step.counts.begin());
    tracker_.record(step);
  }

  balanced::Problem problem(std::span<const int64_t> rows) const {
    return {.model = &options_.model,
            .nodes = &nodes_,
            .owner = owner_,
            .node_rows = rows,
            .slots = options_.planner == "ep" ? 0 : options_.m};
  }

  std::vector<int64_t> forecast_rows() const {
    const int64_t samples = std::max<int64_t>(1, std::ssize(tracker_.history()));
    std::vector<int64_t> counts;
    for (double load : tracker_.forecast_by_source(0))
      counts.push_back(std::llround(load / static_cast<double>(samples)));
    return balanced::rows_by_node(counts, loads_.experts, nodes_);
  }

  Placement plan() const {
    Placement owners = Placement::from_owners(owner_, nodes_.devices());
    if (options_.planner == "ep") return owners;
    if (options_.planner == "paper")
      return sharding::materialize(owners, tracker_.forecast(0), options_.t, options_.m,
                                   nodes_.node_of());
    const std::vector<int64_t> rows = forecast_rows();
    return balanced::plan_layer(problem(rows), options_.t).placement;
  }

  StudyFigure judge(int i) {
    StudyFigure figure;
    Placement placement = plan();
    const auto counts = loads_.at(i, layer_);
    const std::vector<int64_t> rows = balanced::rows_by_node(counts, loads_.experts, nodes_);
    balanced::Problem truth = problem(rows);
    truth.counts = counts;
    figure.bound = balanced::lower_bound(truth);
    figure.bound_any_owner = balanced::lower_bound_any_owner(truth);
    figure.time = balanced::Draft(truth, placement).collectives_time();
    if (options_.planner == "balanced" && options_.correct)
      if (auto found = balanced::correct(truth, placement, true)) {
        placement = std::move(found->placement);
        figure.added = found->added;
        figure.evicted = found->evicted;
        figure.correction_seconds = found->gather_seconds;
        figure.time.gather += found->gather_seconds;
        figure.time.reduce += found->reduce_seconds;
      }
    weigh(counts, truth, placement, figure);
    return figure;
  }

  void weigh(std::span<const int64_t> counts, const balanced::Problem& truth,
             const Placement& placement, StudyFigure& figure) {
    sharding::DispatchPlan plan(nodes_.devices(), loads_.experts);
    if (options_.planner == "balanced") {
      split_.split(truth, placement);
      plan = sharding::plan_dispatch_to(counts, placement, nodes_.node_of(),
                                        balanced::holder_rows(split_, placement));
    } else {
      plan = sharding::plan_dispatch(counts, placement, nodes_.node_of(),
                                     sharding::DispatchPolicy::level);
    }
    int64_t most = 0, all = 0;
    for (int d = 0; d < nodes_.devices(); ++d) {
      most = std::max(most, plan.rows_on(d));
      all += plan.rows_on(d);
      for (int s = 0; s < nodes_.devices(); ++s)
        if (nodes_.node(s) != nodes_.node(d)) figure.crossing_rows += plan.rows_between(s, d);
    }
    const auto& cost = options_.model.cost;
    figure.mean_rows = static_cast<double>(all) / nodes_.devices();
    figure.balance = all > 0 ? static_cast<double>(most) / figure.mean_rows : 1;
    figure.time.compute = static_cast<double>(most) * cost.seconds_per_row;
    figure.time.exchange = sharding::layer_seconds(cost, plan) - figure.time.compute;
  }

  const LoadSamples& loads_;
  const StudyOptions& options_;
  int layer_;
  sharding::NodeMap nodes_;
  sharding::LoadTracker tracker_;
  std::vector<int> owner_;
  balanced::Splitter split_;
};

}  // namespace

sharding::LayerCost study_cost(const std::string& cluster, int devices, int devices_per_node) {
  HECATE_CHECK(cluster == "a" || cluster == "b", "cluster '", cluster, "' is unknown; known: a, b");
  constexpr double kModel = 768, kHidden = 1536, kElements = 2 * kModel * kHidden;
  const bool a = cluster == "a";
  sharding::LayerCost cost;
  cost.topology = collectives::Topology::uniform(
      devices, devices_per_node, {a ? 300e9 : 600e9, 5e-6}, {a ? 12.5e9 : 50e9, 15e-6});
  cost.seconds_per_row = 6 * kElements / (0.5 * (a ? 125e12 : 312e12));
  cost.row_bytes = 2 * kModel;
  cost.exchanges = 4;
  cost.gather_bytes = 2 * kElements;
  cost.reduce_bytes = 4 * kElements;
  return cost;
}

std::vector<StudyFigure> study(const LoadSamples& loads, const StudyOptions& options) {
  HECATE_CHECK(
      options.planner == "ep" || options.planner == "paper" || options.planner == "balanced",
      "planner '", options.planner, "' is unknown; known: ep, paper, balanced");
  HECATE_CHECK(options.model.cost.topology.ranks() == loads.sources, "plan study: loads of ",
               loads.sources, " sources for ", options.model.cost.topology.ranks(), " devices");
  std::vector<StudyFigure> figures;
  for (int l = 0; l < loads.layers; ++l) {
    LayerStudy layer(loads, options, l);
    for (int i = 0; i < loads.samples; ++i) {
      const bool judged = i % options.stride == 0;
      const StudyFigure figure = layer.sample(i, judged);
      if (judged) figures.push_back(figure);
    }
  }
  return figures;
}

Spread spread(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const auto at = [&](double share) {
    const auto index = std::ceil(share * static_cast<double>(values.size())) - 1;
    return values[static_cast<size_t>(std::max(0.0, index))];
  };
  return {at(0.5), at(0.9), values.back()};
}

Spread spread(const std::vector<StudyFigure>& figures,
              const std::function<double(const StudyFigure&)>& value) {
  std::vector<double> values;
  for (const StudyFigure& figure : figures) values.push_back(value(figure));
  return spread(std::move(values));
}

}  // namespace hecate::launcher
