#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "launcher/checkpoint/checkpoint.h"
#include "launcher/checkpoint/writer.h"
#include "launcher/train/engine.h"

namespace hecate::launcher {

/// Where a run stands beside its tensors: what a checkpoint's `extra` holds.
struct Progress {
  int64_t step = 0;  ///< updates done
  int64_t tokens = 0;
  uint64_t next_sample = 0;           ///< of the loader
  std::string data_identity;          ///< empty: trained on nothing yet
  std::string config;                 ///< resolved, TOML
  std::vector<double> recent_losses;  ///< what spikes are judged by; empty: nothing is
};

/// The progress alone, without tensors.
checkpoint::Snapshot make_snapshot(const Progress& progress);

/// Everything that continuing needs: parameters, both moments, progress.
checkpoint::Snapshot make_snapshot(Engine& engine, const Progress& progress);

/// Fills the engine from a checkpoint; moments are zero where one of step 0 has none
/// (imported weights). @throws InvalidArgument naming the tensor that differs.
Progress restore(Engine& engine, const checkpoint::Checkpoint& saved);

/// Only the parameters, into an engine that evaluates.
void load_parameters(Engine& engine, const checkpoint::Checkpoint& saved);
/// Only the parameters, into a flat array of the layout: for evaluation and generation.
void load_parameters(const checkpoint::Checkpoint& saved, const models::ParameterLayout& layout,
                     std::span<Real> values);

/// The progress that a checkpoint holds, without its tensors.
Progress read_progress(const checkpoint::Checkpoint& saved);

}  // namespace hecate::launcher
