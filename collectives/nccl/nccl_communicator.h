#pragma once
#include <memory>
#include <vector>

#include "collectives/backend.h"
#include "collectives/dense/algorithms.h"
#include "collectives/nccl/rank_state.h"
#include "collectives/nccl/sequence.h"

namespace hecate::collectives::nccl {

/// A group of ranks on GPUs.
class NcclCommunicator final : public CommunicatorBackend {
 public:
  /// All ranks of `control` must call, with equal `ranks`: group rank -> rank of the first group.
  NcclCommunicator(std::shared_ptr<RankState> state, Communicator control, std::vector<int> ranks);

  std::string_view name() const override { return "nccl"; }
  int rank() const override { return control_.rank(); }
  int size() const override { return control_.size(); }
  LaneKind lane() const override { return control_.lane(); }
  std::span<const int> nodes() const override { return control_.nodes(); }
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
  Work run(const ProgramOf& program, const char* operation, uint64_t agreement) override;
  int64_t segment_bytes() const override { return state_->nccl.segment_bytes; }
  std::vector<FlightEntry> flight_record() const override { return state_->flight.snapshot(); }
  Traffic traffic() const override { return state_->traffic.snapshot(*ranks_); }
  int64_t peak_scratch_bytes() const override { return 0; }

  void use_stream(cudaStream_t stream) { channel_->use(stream); }

 private:
  // A buffer of the caller's.
  struct Buffer {
    const void* data;
    int64_t bytes;
    bool read, written;
  };
  using Enqueue = std::function<void(Channel& channel, const Mirror& mirror)>;
  struct Call {
    const char* name;
    std::vector<int64_t> agreement;  ///< equal on all ranks
    bool point_to_point = false;
    std::vector<int64_t> to = {},
                         from = {};  ///< elements to and from each rank; empty where agreed on
  };

  Work start(const Call& call, std::span<const Buffer> buffers, const Enqueue& enqueue);
  Work start_program(const ProgramOf& program, const Call& call);
  Work reduce_in_order(const Call& call, const dense::Reduction& reduction,
                       const dense::Layout& layout, dense::Destination destination, int root);
  std::vector<Buffer> buffers_of(const Program& program) const;
  void carry_out(const Program& program, const Sequence& sequence, Channel& channel,
                 const Mirror& mirror, const char* name) const;
  void check_calls(const Call& call) const;
  void count_sent(const char* operation, int peer, int64_t bytes) const;
  void count_received(const char* operation, int peer, int64_t bytes) const;
  bool natively(DType type, ReduceOp op) const;

  std::shared_ptr<RankState> state_;
  Communicator control_;
  std::shared_ptr<const std::vector<int>> ranks_;
  uint32_t context_ = 0;
  std::shared_ptr<Channel> channel_;
  int64_t sequence_ = 0;
};

}  // namespace hecate::collectives::nccl
