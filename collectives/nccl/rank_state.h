#pragma once
#include <list>
#include <memory>
#include <mutex>

#include "collectives/communicator.h"
#include "collectives/flight_record.h"
#include "collectives/nccl/channel.h"
#include "collectives/nccl/host_ranges.h"
#include "collectives/nccl/nccl.h"

namespace hecate::collectives::nccl {

class NcclWork;

/// What a rank's groups share.
struct RankState {
  RankState(const CommunicatorOptions& common, const Options& own, int rank, int ranks);

  const CommunicatorOptions options;
  const Options nccl;
  const int world_rank;
  FlightRecord flight;
  TrafficCounters traffic;
  Stream copies;  ///< results on their way to host memory
  std::mutex mutex;
  std::list<std::weak_ptr<NcclWork>> under_way;
  /// Numbers of groups in the flight record, apart from the bootstrap's.
  uint32_t next_context = 1024;

  void add(const std::shared_ptr<NcclWork>& work);
  /// Looks at everything under way, then leaves the flight record where the options say.
  void leave_record();
};

/// Device memory in place of an operation's host memory.
class Mirror {
 public:
  /// Copies in, ordered on `stream`. @param ranges finished.
  Mirror(HostRanges ranges, cudaStream_t stream);
  Mirror(Mirror&&) = default;
  /// The address on the device; itself where it was device memory before.
  std::byte* at(const void* address) const;
  /// After the operation: copies out, on `stream`, and waits for the copies.
  void copy_out(cudaStream_t stream) const;

 private:
  HostRanges ranges_;
  StreamMemory memory_;
};

/// An operation in flight.
class NcclWork final : public Work::State {
 public:
  /// @param entry what the flight record says of it.
  NcclWork(std::shared_ptr<RankState> rank, std::shared_ptr<Channel> channel,
           const FlightEntry& entry, Mirror mirror);
  ~NcclWork() override;

  bool done() const override;
  void wait(std::chrono::nanoseconds timeout) override;
  std::chrono::nanoseconds default_timeout() const override { return rank_->options.timeout; }
  const Mirror& mirror() const { return mirror_; }
  /// Called once, after everything was enqueued.
  void enqueued();
  /// Called instead when that failed.
  void not_enqueued(const std::string& why);

 private:
  enum class Stage : uint8_t { starting, running, computed, delivered, failed };
  Stage stage() const;
  void fail(const std::string& message) const;
  void time_out();
  void deliver();

  std::shared_ptr<RankState> rank_;
  std::shared_ptr<Channel> channel_;
  std::string name_, place_;
  int64_t ticket_;
  Event event_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  mutable std::mutex mutex_;  // guards the rest
  mutable Stage stage_ = Stage::starting;
  mutable std::string error_;
  Mirror mirror_;
};

}  // namespace hecate::collectives::nccl
