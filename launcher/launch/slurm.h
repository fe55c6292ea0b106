#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hecate::launch {

/// Looks a variable up; nothing when it is not set.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

/// What Slurm tells the processes of an allocation.
struct SlurmJob {
  std::string id;
  int64_t tasks = 0;  ///< 0: sbatch was not asked for a number of tasks
  int64_t nodes = 1;
  std::vector<int64_t> tasks_per_node;  ///< empty when tasks is 0
};

/// The allocation that this process runs in: SLURM_JOB_ID with SLURM_JOB_NUM_NODES, SLURM_NTASKS
/// and SLURM_TASKS_PER_NODE. A step's task (SLURM_PROCID under srun) counts as well.
/// @throws InvalidArgument naming the variable that cannot be read.
std::optional<SlurmJob> slurm_job(const Environment& environment);

/// "2(x3),1" -> 2, 2, 2, 1. @throws InvalidArgument naming `source` for anything else.
std::vector<int64_t> parse_tasks_per_node(std::string_view text, const std::string& source);

}  // namespace hecate::launch
