#include "monitoring/population_metrics.h"

namespace hecate::monitoring {
namespace {

constexpr MetricFamily kUp = {"hecate_population_member_up",
                              "Whether the member runs (1) or is lost (0)."};
constexpr MetricFamily kScore = {"hecate_population_member_score",
                                 "What members of the population are compared by."};
constexpr MetricFamily kStep = {"hecate_population_member_step", "Optimizer steps of the member."};
constexpr MetricFamily kSeen = {"hecate_population_member_seen_timestamp_seconds",
                                "When the controller last heard of the member."};
constexpr MetricFamily kExploits = {"hecate_population_exploits_total",
                                    "Times the member took over another member's state.",
                                    MetricKind::counter};
constexpr MetricFamily kHyper = {"hecate_population_hyperparameter",
                                 "Value of a hyper-parameter that the search moves."};
constexpr MetricFamily kMembers = {"hecate_population_members", "Members of the population."};

}  // namespace

void PopulationMetrics::set(const MetricFamily& family, const MetricLabels& labels, double value) {
  const SeriesId id = sink_->series(family, labels);
  sink_->set(id, value);
  shown_.push_back(id);
}

void PopulationMetrics::write(std::span<const MemberState> members) {
  for (const SeriesId id : shown_) sink_->clear(id);
  shown_.clear();
  for (const MemberState& member : members) {
    const MetricLabels label = {{"member", member.name}};
    set(kUp, label, member.alive ? 1 : 0);
    set(kScore, label, member.score);
    set(kStep, label, static_cast<double>(member.step));
    if (member.last_seen > 0) set(kSeen, label, member.last_seen);
    set(kExploits, label, static_cast<double>(member.exploits));
    for (const auto& [name, value] : member.hyper_parameters)
      set(kHyper, {{"member", member.name}, {"name", name}}, value);
  }
  sink_->set(sink_->series(kMembers, {}), static_cast<double>(members.size()));
  sink_->publish();
}

}  // namespace hecate::monitoring
