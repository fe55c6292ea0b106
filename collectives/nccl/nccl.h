#pragma once
#include <cstdint>
#include <string>

#include "collectives/communicator.h"

/// Ranks on NVIDIA GPUs, one device each, over NCCL.
///
/// What a Communicator promises holds, with these differences:
/// - An operation waits for its inputs only when they are produced on the same stream (use_stream);
///   otherwise they are ready when the call is made. Work::wait blocks the host.
/// - Order of sums: NCCL's own, which depends on the group, the count, the machine and NCCL's
///   version, not on arrival. Sums of bf16, and with Options::ordered_sums all reductions, are
///   carried out in the Communicator's order instead. So are sparse_reduce_scatter's always.
/// - Messages that two ranks exchange are listed in one call on both, or in as many calls.
/// - Two communicators with operations in flight on one device at a time rely on the device having
///   room for both; ranks start operations of different communicators in one order.
/// - A CommError cannot name the late peers (NCCL does not tell) and may come from the call itself.
///   The communicator is aborted and unusable from then on.
/// - Argument checks (check_arguments) block in the call, throw from it, and leave out exchange().
/// Buffers are device memory. Host memory works too, staged through device memory: inputs are
/// copied when the call is made, results when wait() is called; for tests and small data.
namespace hecate::collectives::nccl {

/// Whether this build has NCCL.
bool available();
/// "2.28.9", or "off".
std::string version();
/// Devices that this process can use; 0 also where there is no driver.
int devices();

struct Options {
  int device = 0;  ///< this rank's
  /// Reductions in the Communicator's order on any machine; slower between nodes.
  bool ordered_sums = false;
  /// Planned collectives travel in pieces of this size, each in a group call of its own.
  int64_t segment_bytes = 4 << 20;
};

/// The ranks of `bootstrap`, which is another backend's, with its lane. It exchanges what NCCL
/// needs to connect, for this group and those split from it, and is kept by them. All ranks of
/// `bootstrap` must call. Blocks.
/// @param options time-out, argument checks and flight directory.
/// @throws CommError where this build has no NCCL or ranks do not connect in time; DeviceError when
///   the device is missing; InvalidArgument when bootstrap is NCCL's itself.
Communicator create(const Communicator& bootstrap, const CommunicatorOptions& options,
                    const Options& nccl_options = {});

/// Later operations of this handle's group are enqueued on `stream` (a cudaStream_t of the rank's
/// device), after what is on it. Null: back to the group's own.
void use_stream(const Communicator& communicator, void* stream);

}  // namespace hecate::collectives::nccl
