#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/launch/host_file.h"
#include "launcher/launch/slurm.h"

namespace hecate::launch {

/// What a person asks for.
struct Request {
  std::optional<int64_t> ranks;  ///< else all slots, or the Slurm job's tasks
  std::vector<Host> hosts;       ///< empty: this machine, or Slurm's nodes
  std::string hosts_source;      ///< their file, for messages
  bool slurm = false;            ///< srun; implied inside a Slurm job unless hosts are given
  std::string slurm_mpi = "pmix";
  bool oversubscribe = false;
  std::string bind = "auto";  ///< auto, none, numa or core
  int64_t cores_per_rank = 0;
  std::string interface;             ///< name or a.b.c.d/n of the network between hosts
  std::vector<std::string> exports;  ///< NAME or NAME=VALUE
  bool enable_recovery = false;      ///< mpirun lets the other ranks live when one dies
  bool prefix = true;                ///< output is marked with the rank
  std::string extra;                 ///< further options, separated by blanks
  std::vector<std::string> program;  ///< the command of hecate and its arguments
};

/// What the composition needs to know about where it happens.
struct Machine {
  std::string hecate;  ///< path of the program
  int64_t cores = 1;   ///< that this process may use
  bool root = false;
  std::vector<std::string> variables;  ///< names that are set
  std::optional<SlurmJob> slurm;
};

/// Who starts the ranks, and so how their output is marked.
enum class Starter : uint8_t { mpirun, srun };

struct Job {
  Starter starter = Starter::mpirun;
  int64_t ranks = 1;
  bool prefix = true;
  std::vector<std::string> argv;  ///< looked up in PATH; may begin with `env NAME=VALUE...`
};

/// The mpirun or srun line that starts the ranks. Hosts are filled in order, one rank per slot.
///
/// Binding `auto`: to a NUMA domain, so that memory stays near and the lanes' threads have room;
/// none where a host has a single rank or more ranks than slots. With cores_per_rank: to that many
/// cores. Ranks that share cores yield while they wait. The environment reaches other hosts under
/// mpirun only by name: the library path and all HECATE_*, NCCL_* and CUDA_VISIBLE_* variables go
/// along, and `exports` (mpirun sends its own OMPI_*).
/// @throws InvalidArgument: fewer than one rank, fewer slots than ranks without oversubscribe, no
///   number of ranks, hosts together with srun.
Job compose(const Request& request, const Machine& machine);

/// One line that a POSIX shell splits into exactly these words.
std::string shell_line(const std::vector<std::string>& argv);

}  // namespace hecate::launch
