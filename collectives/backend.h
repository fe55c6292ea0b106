#pragma once
#include <functional>
#include <memory>
#include <span>

#include "collectives/communicator.h"
#include "collectives/engine/program.h"

namespace hecate::collectives {

/// What a backend implements. Arguments were checked by Communicator. Meaning: communicator.h.
class CommunicatorBackend {
 public:
  virtual ~CommunicatorBackend() = default;
  virtual std::string_view name() const = 0;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual LaneKind lane() const = 0;
  virtual std::span<const int> nodes() const = 0;
  virtual std::shared_ptr<CommunicatorBackend> split(int color, int key, LaneKind lane) = 0;
  /// By default a split: a group is named by its lowest rank.
  virtual std::shared_ptr<CommunicatorBackend> subgroup(std::span<const int> ranks, LaneKind lane);

  virtual Work barrier() = 0;
  virtual Work broadcast(void* data, int64_t count, DType type, int root) = 0;
  virtual Work reduce(const void* in, void* out, int64_t count, DType type, ReduceOp op,
                      int root) = 0;
  virtual Work all_reduce(const void* in, void* out, int64_t count, DType type, ReduceOp op) = 0;
  virtual Work all_gather_v(const void* in, void* out, std::span<const int64_t> counts,
                            DType type) = 0;
  virtual Work reduce_scatter_v(const void* in, void* out, std::span<const int64_t> counts,
                                DType type, ReduceOp op) = 0;
  virtual Work all_to_all_v(const void* in, std::span<const int64_t> send_counts, void* out,
                            std::span<const int64_t> receive_counts, DType type) = 0;
  virtual Work exchange(std::span<const Send> sends, std::span<const Receive> receives) = 0;

  /// Any rank's part of a planned collective. For another rank than this one the addresses in it
  /// mean nothing.
  using ProgramOf = std::function<Program(int rank)>;
  /// Runs this rank's part of a collective that the caller planned (sparse collectives, token
  /// exchange). All ranks must call, with programs that match. @param program called before the
  /// return, for this rank and, by backends that need the whole, for others. @param operation a
  /// literal. @param agreement equal on all ranks when their calls agree (compared in checked
  /// worlds).
  virtual Work run(const ProgramOf& program, const char* operation, uint64_t agreement) = 0;
  virtual int64_t segment_bytes() const = 0;
  virtual std::vector<FlightEntry> flight_record() const = 0;
  virtual Traffic traffic() const = 0;
  virtual int64_t peak_scratch_bytes() const = 0;
};

}  // namespace hecate::collectives
