#pragma once
#include "launcher/config/run_config.h"
#include "launcher/train/job.h"
#include "runtime/memory/device_kind.h"

namespace hecate::launcher {

/// Where a run's memory and kernels are; a paced device is the CPU.
/// @throws DeviceError for "cuda" where this build or machine has none that can be used, saying
///   why and what would.
DeviceKind device_kind(const DeviceConfig& device);

/// The CUDA device of this rank: its place among the ranks of its node.
/// @throws DeviceError where the node has more ranks than devices.
int device_index_of(const Job& job);

}  // namespace hecate::launcher
