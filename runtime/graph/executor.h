#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "runtime/device/lane.h"
#include "runtime/graph/memory_plan.h"
#include "runtime/graph/step_graph.h"
#include "runtime/memory/block_pool.h"

namespace hecate::graph {

class Executor;

/// What an operation sees while it runs.
class OpContext {
 public:
  OpContext(Executor& executor, const Op& op, Stream& stream)
      : executor_(&executor), op_(&op), stream_(&stream) {}
  Stream& stream() const { return *stream_; }
  const Op& op() const { return *op_; }
  /// The buffer as a tensor; T must match its dtype and the shape fit its bytes.
  template <class T>
  View<T> view(BufferId id, Shape shape) const {
    return View<T>(static_cast<T*>(data(id, dtype_of<std::remove_const_t<T>>(), shape.size())),
                   shape);
  }
  int64_t rows(RowsId id) const;
  /// Called by the operation that learns a row count; ordered before its users by the buffers
  /// that they share with it.
  void set_rows(RowsId id, int64_t rows) const;

 private:
  void* data(BufferId id, DType dtype, int64_t elements) const;

  Executor* executor_;
  const Op* op_;
  Stream* stream_;
};

/// When an operation ran, in nanoseconds of the steady clock; begin == 0: it did not run.
struct OpTiming {
  int64_t begin = 0, end = 0;
};

/// Where a run first went wrong.
struct NotFinite {
  int32_t op = -1;  ///< index of the operation, in program order; -1: nowhere
  BufferId buffer;  ///< what it wrote
};

struct ExecutorOptions {
  /// > 0: compute operations last at least flops / this; the rest is slept (the paced device).
  double pace_flops_per_s = 0;
};

/// The lanes of one rank's device; created only where a graph uses them.
class LaneSet {
 public:
  /// @param compute_threads of the compute lane's pool; the other lanes have one thread.
  /// @param device, device_index where kernels run. On CUDA each lane has a stream of its own,
  ///   that of token exchange being urgent; launches wait for their end.
  explicit LaneSet(int compute_threads, bool spin = true, DeviceKind device = DeviceKind::cpu,
                   int device_index = 0);
  ~LaneSet();
  Lane& lane(LaneKind kind);
  ThreadPool& compute_pool();
  DeviceKind device() const;
  /// Scratch bytes held by the streams of all lanes.
  size_t workspace_bytes() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Runs one graph again and again. Planned buffers live in one arena, pooled ones come from a
/// BlockPool; after warm-up a run allocates nothing but counted pool growth.
/// Graph, lanes and ledger outlive the executor. Used by one thread at a time.
class Executor {
 public:
  Executor(const StepGraph& graph, LaneSet& lanes, MemoryLedger& ledger,
           ExecutorOptions options = {});
  ~Executor();

  /// Gives an external buffer its memory, at least its bytes long, which the device can address.
  void bind(BufferId id, void* data);
  /// The same with memory that only the host can address: on CUDA a run works on a copy, made as it
  /// starts and brought back as it ends where an operation writes it.
  void bind_host(BufferId id, void* data);

  /// Enqueues every operation and waits for all. @throws the first error of an operation (the
  ///   others are skipped); InvalidArgument if an external buffer in use is not bound.
  /// @param first,last which micro-batch of the step this is (see When).
  void run(bool first_micro_batch = true, bool last_micro_batch = true);

  /// While on, everything that an operation has written is looked at (slow: to find the cause of a
  /// NaN). Turning it on forgets what was found.
  void check_finite(bool on);
  /// The first operation in program order that wrote a NaN or an infinity, in the runs since.
  NotFinite not_finite() const { return not_finite_; }

  /// Called after every operation from now on, on its lane's thread, while what it read and wrote
  /// is still there. Empty: no more.
  void observe(std::function<void(const OpContext&)> observer) { observer_ = std::move(observer); }

  const StepGraph& graph() const { return *graph_; }
  const MemoryPlan& plan() const { return plan_; }
  /// Of the last run, per operation.
  std::span<const OpTiming> timings() const { return timings_; }
  /// How often the block pool had to ask for memory.
  int64_t pool_growths() const { return pool_.growths(); }
  int64_t pool_held_bytes() const { return pool_.held_bytes(); }
  int64_t pool_peak_bytes() const { return pool_.peak_used_bytes(); }
  /// Row counts of the last run.
  std::span<const int64_t> rows() const { return rows_; }

 private:
  friend class OpContext;

  static void run_task(void* self, int64_t index, Stream& stream);
  void run_op(int64_t index, Stream& stream);
  void pace(const Op& op, std::chrono::steady_clock::time_point begin) const;
  void look_at(int32_t index);
  bool is_finite(BufferId id) const;
  void acquire(const Op& op);
  void release(const Op& op);
  void release_all();
  struct Copy {
    void* host = nullptr;
    MemoryBlock block;
  };

  bool runs(const Op& op) const;
  void copy_in();
  void copy_out();

  const StepGraph* graph_;
  LaneSet* lanes_;
  ExecutorOptions options_;
  MemoryLedger* ledger_;
  MemoryPlan plan_;
  MemoryBlock arena_;
  BlockPool pool_;
  std::vector<void*> data_;                       // per buffer
  std::map<int32_t, Copy> copies_;                // of the host's buffers, on CUDA
  std::vector<int32_t> uses_;                     // per pooled buffer: operations that touch it
  std::unique_ptr<std::atomic<int32_t>[]> left_;  // the same, of the current run
  std::vector<int64_t> rows_;
  std::vector<int64_t> tickets_;
  std::vector<OpTiming> timings_;
  bool first_ = true, last_ = true;
  bool checks_ = false;
  std::function<void(const OpContext&)> observer_;
  std::mutex not_finite_mutex_;
  NotFinite not_finite_;
};

}  // namespace hecate::graph
