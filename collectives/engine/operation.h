#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "collectives/communicator.h"
#include "collectives/engine/program.h"

namespace hecate::collectives {

class Engine;

/// The caller's side of an operation in an engine.
class EngineWork final : public Work::State {
 public:
  EngineWork(Engine& engine, uint64_t id, std::chrono::nanoseconds timeout)
      : engine_(&engine), id_(id), timeout_(timeout) {}
  bool done() const override { return done_.load(std::memory_order_acquire); }
  void wait(std::chrono::nanoseconds timeout) override;
  std::chrono::nanoseconds default_timeout() const override { return timeout_; }
  /// Called once, by the progress thread.
  void finish(std::exception_ptr error);

 private:
  bool wait_until_done(std::chrono::nanoseconds timeout);

  Engine* engine_;
  uint64_t id_;
  std::chrono::nanoseconds timeout_;
  std::atomic<bool> done_{false};
  std::mutex mutex_;
  std::condition_variable finished_;
  std::exception_ptr error_;
};

/// What the engine is asked to run.
struct Submission {
  Program program;
  /// Runs and is checked before `program` (argument comparison); may be empty.
  Program prologue;
  std::function<void()> check;  ///< after the prologue; throws to fail the operation
  /// Called with every receiving step of `program` that is over; throws to fail the operation. May
  /// be empty.
  std::function<void(int32_t step)> received;
  const char* name = "";
  uint32_t context = 0;
  int64_t sequence = 0;
  bool point_to_point = false;
  LaneKind lane = LaneKind::dense;
  int64_t bytes = 0;
  std::shared_ptr<const std::vector<int>> ranks;  ///< group rank -> rank of the transport
};

/// A running operation: the program and how far it is. Used by the progress thread alone.
class Operation {
 public:
  Operation(uint64_t id, Submission submission, std::shared_ptr<EngineWork> work);

  /// Makes `program` current and finds its first ready steps.
  void load(Program program);
  /// A step is over: its successors may become ready.
  void complete(int32_t step);
  bool finished() const { return remaining == 0; }
  /// Peers of transfers that are not over, in group numbering, rising.
  std::vector<int> late_peers() const;

  uint64_t id;
  Submission request;
  std::shared_ptr<EngineWork> work;
  int64_t flight_ticket = 0;
  TrafficKind traffic;
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_moved = begin;
  bool in_prologue = false;
  bool failed = false;

  Program program;
  std::vector<int32_t> missing;                      // per step: unfinished predecessors
  std::vector<int32_t> first_successor, successors;  // compressed rows
  std::vector<uint8_t> posted, over;                 // per step
  std::vector<int32_t> sends, receives;              // in program order
  std::vector<int32_t> ready_sends, ready_reduces;   // min-heaps
  size_t next_send = 0;                              // first that is not over
  size_t next_receive = 0;                           // first not posted
  int32_t remaining = 0, sends_in_flight = 0, receives_in_flight = 0;
  std::vector<int64_t> peer_bytes;  // per peer: bytes being sent
  std::vector<std::byte*> slot_memory;
  std::vector<int32_t> slot_users;

 private:
  void make_ready(int32_t step);
  void count_slot_users();
};

/// Takes the smallest element of a min-heap kept with std::greater.
int32_t pop_smallest(std::vector<int32_t>& heap);

}  // namespace hecate::collectives
