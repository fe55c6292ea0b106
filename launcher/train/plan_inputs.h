#pragma once
#include <filesystem>
#include <span>
#include <string>

#include "collectives/mesh.h"
#include "collectives/topology.h"
#include "launcher/config/run_config.h"
#include "launcher/train/job.h"

namespace hecate::launcher {

/// What is measured and feeds the plans: measured once, agreed by all ranks, quantised, written to
/// the run directory, and taken from there when the run goes on, so that plans (and with them the
/// bits of the losses) follow from the configuration and this file alone.
struct PlanInputs {
  collectives::Topology topology;
  double forward_seconds = 0;     ///< compute of a layer without its experts
  double backward_seconds = 0;    ///< the same
  double expert_flops_per_s = 0;  ///< of experts' compute; 0: not measured
  int overlap_degree = 0;         ///< t
  int memory_capacity = 0;        ///< m
};

/// All ranks must call. Reads `file` where it is there and describes these ranks (a run that goes
/// on), else measures and, on the first rank, writes it. Values that the configuration gives win.
/// @throws as measure_topology and memory_capacity; IoError when the file cannot be written;
///   InvalidArgument when it is not one of these.
PlanInputs resolve_plan_inputs(const RunConfig& config, const Job& job,
                               const std::filesystem::path& file);

/// The ranks as fssdp.domain divides them. @throws InvalidArgument naming it where it does not.
collectives::Mesh mesh_of(const RunConfig& config, std::span<const int> node_of);
/// Of the first domain's ranks.
collectives::Topology domain_topology(const RunConfig& config,
                                      const collectives::Topology& topology);

/// Floating-point operations of one row through an expert, forward and backward, in a layer that
/// recomputes or not.
double expert_row_flops(const models::ModelConfig& model, bool recomputes);

/// What an expert's extra copy costs beyond what the t experts of a forecast do: the share of its
/// traffic in backward that does not hide, were as many copies added as there are already.
double exposed_reduction(const RunConfig& config, const PlanInputs& inputs);

/// t as sharding::overlap_degree gives it for the inputs' seconds and a domain's links.
int overlap_degree_of(const RunConfig& config, const PlanInputs& inputs);

/// JSON, and back. @throws InvalidArgument for text that is none of these.
std::string to_text(const PlanInputs& inputs);
PlanInputs plan_inputs_from_text(const std::string& text);

/// Seconds of one layer's compute without its experts, forward and backward, on this rank with this
/// configuration's device: the least of a few runs of a one-layer model.
struct LayerSeconds {
  double forward = 0, backward = 0;
};
LayerSeconds measure_layer_seconds(const RunConfig& config, int threads, int64_t ranks);

/// Rate of an expert's matrix products, with all of the expert's compute in their time, on this
/// rank: the best of a few runs of one layer on one sequence.
double measure_expert_rate(const RunConfig& config, int threads);

}  // namespace hecate::launcher
