#pragma once
#include <memory>
#include <vector>

#include "collectives/backend.h"
#include "collectives/dense/group.h"
#include "collectives/engine/engine.h"
#include "collectives/engine/exchange.h"

namespace hecate::collectives {

/// Contexts (communicator numbers) that one rank has in use. Thread-safe.
class ContextSet {
 public:
  static constexpr int kContexts = 1024;
  using Mask = std::vector<uint64_t>;
  Mask free_mask() const;
  void take(uint32_t context);
  void release(uint32_t context);

 private:
  mutable std::mutex mutex_;
  Mask free_ = Mask(kContexts / 64, ~uint64_t{0});
};

/// What the communicators of one rank share, and what keeps its engine alive.
struct RankState {
  Engine* engine = nullptr;
  ContextSet contexts;
  std::shared_ptr<void> world;  ///< owner of engine and progress thread
};

/// A group of ranks on an engine (inproc and mpi).
class EngineCommunicator final : public CommunicatorBackend {
 public:
  /// @param ranks group rank -> transport rank.
  EngineCommunicator(std::shared_ptr<RankState> state, std::vector<int> ranks, uint32_t context,
                     LaneKind lane);
  ~EngineCommunicator() override;

  std::string_view name() const override { return engine().transport().name(); }
  int rank() const override { return group_.rank(); }
  int size() const override { return group_.size(); }
  LaneKind lane() const override { return lane_; }
  std::span<const int> nodes() const override { return group_.node_of_ranks(); }
  std::shared_ptr<CommunicatorBackend> split(int color, int key, LaneKind lane) override;

  Work barrier() override;
  Work broadcast(void* data, int64_t count, DType type, int root) override;
  Work reduce(const void* in, void* out, int64_t count, DType type, ReduceOp op, int root) override;
  Work all_reduce(const void* in, void* out, int64_t count, DType type, ReduceOp op) override;
  Work all_gather_v(const void* in, void* out, std::span<const int64_t> counts,
                    DType type) override;
  Work reduce_scatter_v(const void* in, void* out, std::span<const int64_t> counts, DType type,
                        ReduceOp op) override;
  Work all_to_all_v(const void* in, std::span<const int64_t> send_counts, void* out,
                    std::span<const int64_t> receive_counts, DType type) override;
  Work exchange(std::span<const Send> sends, std::span<const Receive> receives) override;
  Work run(const ProgramOf& program, const char* operation, uint64_t agreement) override {
    return start(program(rank()), operation, agreement);
  }
  /// Longer where no link between nodes has to be kept free for urgent messages.
  int64_t segment_bytes() const override {
    constexpr int64_t kInsideFactor = 32;
    return engine().options().segment_bytes * (group_.nodes() == 1 ? kInsideFactor : 1);
  }
  std::vector<FlightEntry> flight_record() const override { return engine().flight().snapshot(); }
  Traffic traffic() const override { return engine().traffic().snapshot(*ranks_); }
  int64_t peak_scratch_bytes() const override { return engine().peak_scratch_bytes(); }

 private:
  struct Arguments;

  Engine& engine() const { return *state_->engine; }
  Work start(Program program, const char* operation, uint64_t agreement);
  Work submit(Program program, const char* operation, Arguments arguments);
  void add_prologue(Submission& submission, const Arguments& arguments) const;

  std::shared_ptr<RankState> state_;
  std::shared_ptr<const std::vector<int>> ranks_;
  Group group_;
  uint32_t context_;
  LaneKind lane_;
  int64_t sequence_ = 0;
  ExchangeBuilder exchanges_;
};

}  // namespace hecate::collectives
