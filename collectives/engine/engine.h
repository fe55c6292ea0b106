#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "collectives/engine/operation.h"
#include "collectives/engine/transport.h"
#include "collectives/flight_record.h"
#include "runtime/memory/block_pool.h"

namespace hecate::collectives {

/// Where a progress thread sleeps and what wakes it.
class Doorbell {
 public:
  void ring();
  /// Sleeps until rung, at most `limit`; a ring since the last sleep returns at once.
  void sleep(std::chrono::nanoseconds limit);

 private:
  std::mutex mutex_;
  std::condition_variable rung_;
  bool pending_ = false;
};

/// Carries out the operations of one rank over one transport. Several are in flight at a time;
/// urgent lanes go first, and bulk transfers are kept short in the transport's queues so that an
/// urgent message finds them nearly empty.
class Engine {
 public:
  /// @param doorbell of the thread that calls progress(); outlives the engine.
  Engine(std::unique_ptr<Transport> transport, const CommunicatorOptions& options,
         Doorbell& doorbell);
  ~Engine();

  // Any thread.
  std::shared_ptr<EngineWork> submit(Submission submission);
  /// Fails the operation as timed out, unless it is over.
  void cancel(uint64_t operation);
  const CommunicatorOptions& options() const { return options_; }
  const FlightRecord& flight() const { return flight_; }
  const TrafficCounters& traffic() const { return traffic_; }
  int64_t peak_scratch_bytes() const { return ledger_.peak_total(); }
  Transport& transport() { return *transport_; }
  /// Fails everything that is not over, now and later: the world closes.
  void abandon();
  /// Whether any operation has failed (the transport may hold requests that never complete).
  bool failed() const { return failed_.load(); }

  // The progress thread.
  /// Moves everything that can move. @return whether anything did.
  bool progress();
  bool idle() const { return active_.empty(); }
  /// How long it is worth to keep looking after the last movement, before naps: long while a rank
  /// of this node takes a message, hardly while only bulk crosses a link between nodes.
  std::chrono::microseconds attention() const;
  /// Whether bulk that could go gives way to an urgent operation.
  bool holds_back() const { return holds_back_; }

 private:
  bool accept();
  bool start(std::unique_ptr<Operation> operation);
  bool too_far_ahead(const Operation& operation) const;
  bool advance(Operation& operation, bool urgent_moving);
  bool post_receives(Operation& operation);
  bool post_sends(Operation& operation);
  void post_send(Operation& operation, int32_t step);
  /// Bytes of bulk that may be on their way: for a share of a link, to a rank, to other nodes.
  int64_t window_of(double share) const;
  int64_t peer_window(const Operation& operation, int peer) const;
  int64_t link_window(const Operation& operation) const;
  bool may_send(const Operation& operation, const Step& step) const;
  bool is_bulk(const Operation& operation) const;
  bool crosses(const Operation& operation, const Step& step) const;
  void count_send(Operation& operation, const Step& step, int direction);
  static TrafficKind kind_of(const Operation& operation);
  bool run_reduction(Operation& operation);
  bool handle_completions();
  void check_received(Operation& operation, int32_t step);
  bool finish_stage(Operation& operation);
  void finish(Operation& operation, std::exception_ptr error);
  void time_out(Operation& operation);
  void fail_all();
  void erase_finished();
  std::byte* resolve(Operation& operation, const Operand& operand);
  void release(Operation& operation, const Operand& operand);
  void release_step(Operation& operation, int32_t step);
  MessageKey key_of(const Operation& operation, const Step& step) const;
  int world_rank(const Operation& operation, int peer) const;
  std::vector<int> late_ranks(const Operation& operation) const;
  Operation* find(uint64_t id);
  void dump_flight_record() const;

  std::unique_ptr<Transport> transport_;
  CommunicatorOptions options_;
  Doorbell* doorbell_;
  MemoryLedger ledger_;
  BlockPool scratch_{ledger_, MemoryCategory::communicator};
  FlightRecord flight_;
  TrafficCounters traffic_;
  std::atomic<bool> failed_{false};

  std::atomic<bool> abandoned_{false};

  std::mutex mutex_;  // guards the three below
  std::vector<std::unique_ptr<Operation>> submitted_;
  std::vector<uint64_t> cancelled_;
  uint64_t next_id_ = 1;

  std::vector<std::unique_ptr<Operation>> waiting_;  // beyond the sequence window
  std::vector<std::unique_ptr<Operation>> active_;   // most urgent first, then oldest
  // Failed operations: a transfer that could not be called back may still use their memory.
  std::vector<std::unique_ptr<Operation>> graveyard_;
  std::set<uint32_t> broken_;  // contexts with a failed operation
  std::vector<Completion> completions_;
  int64_t link_window_ = 0, peer_window_ = 0;  // where a program does not say its shares
  bool holds_back_ = false;
  int64_t local_sends_ = 0;   // on their way to ranks of this node
  int64_t bulk_between_ = 0;  // bytes of bulk on their way to other nodes
  std::chrono::steady_clock::time_point pass_time_, last_urgent_;
};

/// How urgent a lane is; smaller goes first.
int urgency(LaneKind lane);

/// Drives engines on a thread of its own: polls while things move, sleeps when nothing does.
class ProgressLoop {
 public:
  /// Runs until `stop` and nothing is active. @param engines of the thread's doorbell.
  /// @param external_events messages may arrive that ring no bell here: keep looking.
  /// @param on_wake called after every sleep without work; may be empty.
  static void run(const std::vector<Engine*>& engines, Doorbell& doorbell,
                  const std::atomic<bool>& stop, bool external_events,
                  const std::function<void()>& on_wake = {});
};

}  // namespace hecate::collectives
