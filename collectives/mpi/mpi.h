#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "collectives/communicator.h"

/// Ranks as processes under mpirun (or srun). All MPI calls of the process are made by one
/// communication thread, which sleeps when there is nothing to move.
namespace hecate::collectives::mpi {

/// Whether this build has MPI.
bool available();
/// "Open MPI 4.1.4", or "off".
std::string version();
/// Whether a launcher started this process as one of several ranks.
bool launched();

/// The process's membership in the job. At most one per process, ever (MPI starts once).
class World {
 public:
  /// All ranks must call. Starts MPI. @throws CommError where this build has no MPI or it does not
  /// start; InvalidArgument for impossible options.
  explicit World(const CommunicatorOptions& options = {});
  /// Closes; logs what close() would throw.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// All ranks, lane dense; the same group at every call.
  Communicator communicator() const { return all_; }

  /// All ranks must call, when no operation is under way. Ends MPI; later operations fail.
  /// After a failed operation MPI is left as it is, because ending it would wait for the dead.
  /// @throws CommError when the others do not come within the time-out.
  void close();

  /// This rank goes without the others, who may not know: operations that are not over fail, now
  /// and later, and close() and the destructor leave MPI as it is. Any thread; not a collective.
  void abandon();

  /// The library's own collective, for comparison: MPI_Allreduce and the like, on the
  /// communication thread. Blocks. f32. @return seconds that the call took.
  enum class Native : uint8_t { all_reduce, all_gather, reduce_scatter, broadcast, all_to_all };
  /// @param count as in the Communicator's call of that name (elements per rank for all_gather,
  ///   reduce_scatter and all_to_all).
  double native(Native call, const void* in, void* out, int64_t count) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
  Communicator all_;
};

}  // namespace hecate::collectives::mpi
