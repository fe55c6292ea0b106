#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "collectives/flight_record.h"
#include "collectives/reduce_op.h"
#include "collectives/traffic.h"
#include "runtime/device/lane.h"
#include "runtime/tensor/dtype.h"

/// Communication between ranks. A Communicator is a cheap handle on a group of ranks; copies share
/// the group. Nothing here is global: a program gets its first handle from a world
/// (inproc/inproc.h, mpi/mpi.h, nccl/nccl.h) and derives the others.
namespace hecate::collectives {

class CommunicatorBackend;

/// What a world is opened with.
struct CommunicatorOptions {
  /// How long a blocking wait lasts before it becomes a CommError.
  std::chrono::milliseconds timeout = std::chrono::seconds(300);
  /// Exchange and compare the arguments of every collective first: a mismatch between ranks is
  /// then an InvalidArgument on every rank that can see it instead of a time-out.
  bool check_arguments = false;
  /// Bulk transfers are cut into pieces of this size; urgent ones go between the pieces.
  int64_t segment_bytes = 64 << 10;
  /// Ranks per node, nodes filled in rank order; 0 = as the backend finds them.
  int ranks_per_node = 0;
  /// Where the flight record goes when a wait times out: a directory (one file per rank), or the
  /// standard error stream when empty.
  std::string flight_directory;
};

/// An operation in flight. Copyable; an empty handle counts as done.
/// The operation's buffers stay untouched by the caller until wait() has returned or thrown.
class Work {
 public:
  class State {
   public:
    virtual ~State() = default;
    virtual bool done() const = 0;
    virtual void wait(std::chrono::nanoseconds timeout) = 0;
    virtual std::chrono::nanoseconds default_timeout() const = 0;
  };

  Work() = default;
  explicit Work(std::shared_ptr<State> state) : state_(std::move(state)) {}

  /// True once wait() would not block (it may still throw).
  bool done() const { return !state_ || state_->done(); }
  /// Blocks until the operation is complete on this rank, for at most the world's time-out.
  /// @throws CommError naming operation, late peers and elapsed time (the communicator is unusable
  ///   from then on); InvalidArgument when the ranks disagree about the call.
  void wait() const;
  void wait_for(std::chrono::nanoseconds timeout) const;

 private:
  std::shared_ptr<State> state_;
};

/// One message of a grouped exchange.
struct Send {
  int peer = 0;
  const void* data = nullptr;
  int64_t bytes = 0;
};
struct Receive {
  int peer = 0;
  void* data = nullptr;
  int64_t bytes = 0;
};

/// A group of ranks on one lane.
///
/// Collectives ("all ranks must call") are called by every rank of the group, in the same order
/// and with matching arguments. Every call returns at once; operations of one communicator may
/// overlap and complete out of order, so a dependent operation waits for the first one's handle.
/// Calls of one handle group come from one thread at a time; different communicators are free.
/// Types: f32, bf16, i32, i64 and f64, for moves also u8 and u16. Counts are elements, >= 0.
/// In-place (in == out) is allowed for reduce and all_reduce; any other overlap is not.
///
/// Order of sums: inside a node by rank, then node by node; it depends on the group and the count
/// alone, never on arrival. bf16 is added in f32 and rounded once.
class Communicator {
 public:
  Communicator() = default;
  explicit Communicator(std::shared_ptr<CommunicatorBackend> backend);
  explicit operator bool() const { return backend_ != nullptr; }

  int rank() const;
  int size() const;
  LaneKind lane() const;
  /// Node of every rank of this group, numbered 0.. by first appearance.
  std::span<const int> nodes() const;

  /// Groups by `color` (negative: an empty handle), ranks ordered by (key, old rank). All ranks
  /// must call. Blocks. The new group works on `lane`, which sets its urgency.
  Communicator split(int color, int key, LaneKind lane) const;
  /// The given ranks of this group in the given order, this one among them. All ranks must call,
  /// each with its own of groups that do not overlap. Blocks.
  Communicator subgroup(std::span<const int> ranks, LaneKind lane) const;
  /// The same ranks with an order of their own, for another lane. All ranks must call. Blocks.
  Communicator on_lane(LaneKind lane) const;

  /// Complete on a rank only when every rank has called it.
  Work barrier() const;
  Work broadcast(void* data, int64_t count, DType type, int root) const;
  /// `out` is written on the root alone (may be null elsewhere).
  Work reduce(const void* in, void* out, int64_t count, DType type, ReduceOp op, int root) const;
  Work all_reduce(const void* in, void* out, int64_t count, DType type, ReduceOp op) const;
  /// out[r * count ...] = in of rank r.
  Work all_gather(const void* in, void* out, int64_t count, DType type) const;
  /// The same with counts[r] elements from rank r, packed in rank order.
  Work all_gather_v(const void* in, void* out, std::span<const int64_t> counts, DType type) const;
  /// Rank r gets the reduction of elements [r * count, (r + 1) * count).
  Work reduce_scatter(const void* in, void* out, int64_t count, DType type, ReduceOp op) const;
  /// The same with counts[r] elements for rank r.
  Work reduce_scatter_v(const void* in, void* out, std::span<const int64_t> counts, DType type,
                        ReduceOp op) const;
  /// Block r of `in` goes to rank r; block r of `out` comes from rank r.
  Work all_to_all(const void* in, void* out, int64_t count, DType type) const;
  Work all_to_all_v(const void* in, std::span<const int64_t> send_counts, void* out,
                    std::span<const int64_t> receive_counts, DType type) const;
  /// Point-to-point messages as one operation; only the peers named take part. Messages from one
  /// rank to another match in the order in which both list them, across calls too.
  Work exchange(std::span<const Send> sends, std::span<const Receive> receives) const;

  /// The last operations of this process's rank, over all its communicators, oldest first.
  std::vector<FlightEntry> flight_record() const;
  /// What this process's rank has exchanged with the ranks of this group since its world opened,
  /// over all its communicators; peers are ranks of the group. Bytes as they travel (bf16 where
  /// that is the type on the wire, partial sums in the accumulator's), relayed ones at every rank
  /// that passes them on. An operation is counted whole once its handle has been waited for, before
  /// that maybe in part. NCCL hides the transfers of its own collectives: planned ones (sparse
  /// collectives, rows of tokens, sums in order), exchanges and all_to_all are counted. Any thread.
  Traffic traffic() const;
  /// The most memory that operations of this rank have held beside their callers' buffers, over
  /// all its communicators. NCCL's is not counted. Any thread.
  int64_t peak_scratch_bytes() const;
  /// How this group is implemented: "inproc", "mpi" or "nccl".
  std::string_view backend_name() const;
  CommunicatorBackend& backend() const { return *backend_; }

 private:
  std::shared_ptr<CommunicatorBackend> backend_;
};

/// Waits for each in turn, every one with its own time-out.
void wait_all(std::span<const Work> works);

}  // namespace hecate::collectives
