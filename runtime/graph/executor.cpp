#include "runtime/graph/executor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "runtime/device/cuda_device.h"

namespace hecate::graph {
namespace {

using Clock = std::chrono::steady_clock;

int64_t nanoseconds(Clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

// Calls visit(id) once for every buffer that the operation touches.
template <class Visit>
void for_each_buffer(const Op& op, Visit visit) {
  for (BufferId id : op.writes) visit(id);
  for (BufferId id : op.reads)
    if (std::find(op.writes.begin(), op.writes.end(), id) == op.writes.end()) visit(id);
}

}  // namespace

struct LaneSet::State {
  struct Entry {
    std::unique_ptr<ThreadPool> pool;
    std::unique_ptr<Lane> lane;
  };
  int compute_threads;
  bool spin;
  DeviceKind device;
  int device_index;
  std::array<Entry, kLanes> entries;

  Entry& entry(LaneKind kind) {
    Entry& entry = entries[static_cast<size_t>(kind)];
    if (entry.lane) return entry;
    entry.pool =
        std::make_unique<ThreadPool>(kind == LaneKind::compute ? compute_threads : 1, spin);
    entry.lane = std::make_unique<Lane>(kind, make_stream(kind, *entry.pool));
    return entry;
  }

  std::unique_ptr<Stream> make_stream(LaneKind kind, ThreadPool& pool) const {
    if (device == DeviceKind::cpu) return std::make_unique<CpuStream>(pool);
    // Blocking: operations look at results on the host, such as routing counts, where they like.
    return cuda::make_stream(device_index, kind == LaneKind::dispatch, true);
  }
};

LaneSet::LaneSet(int compute_threads, bool spin, DeviceKind device, int device_index)
    : state_(std::make_unique<State>()) {
  state_->compute_threads = compute_threads;
  state_->spin = spin;
  state_->device = device;
  state_->device_index = device_index;
}

LaneSet::~LaneSet() {
  for (State::Entry& entry : state_->entries) entry.lane.reset();
}

Lane& LaneSet::lane(LaneKind kind) {
  return *state_->entry(kind).lane;
}

DeviceKind LaneSet::device() const {
  return state_->device;
}

ThreadPool& LaneSet::compute_pool() {
  return *state_->entry(LaneKind::compute).pool;
}

size_t LaneSet::workspace_bytes() const {
  size_t bytes = 0;
  for (const State::Entry& entry : state_->entries)
    if (entry.lane) bytes += entry.lane->stream().workspace_bytes();
  return bytes;
}

int64_t OpContext::rows(RowsId id) const {
  return executor_->rows_[static_cast<size_t>(id.index)];
}

void OpContext::set_rows(RowsId id, int64_t rows) const {
  executor_->rows_[static_cast<size_t>(id.index)] = rows;
}

void* OpContext::data(BufferId id, DType dtype, int64_t elements) const {
  const Buffer& buffer = executor_->graph_->buffer(id);
  const int64_t held =
      buffer.storage == Storage::pooled ? buffer.bytes * rows(buffer.rows) : buffer.bytes;
  const int64_t wanted = elements * static_cast<int64_t>(size_of(dtype));
  HECATE_CHECK(buffer.dtype == dtype && wanted <= held, op_->name, ": ", buffer.name, " holds ",
               held, " bytes of ", name_of(buffer.dtype), ", asked for ", wanted, " of ",
               name_of(dtype));
  return executor_->data_[static_cast<size_t>(id.index)];
}

Executor::Executor(const StepGraph& graph, LaneSet& lanes, MemoryLedger& ledger,
                   ExecutorOptions options)
    : graph_(&graph),
      lanes_(&lanes),
      options_(options),
      ledger_(&ledger),
      plan_(plan_memory(graph, graph.expected_rows())),
      arena_(ledger, MemoryCategory::activations, plan_.arena_bytes),
      pool_(ledger, MemoryCategory::activations),
      data_(graph.buffers().size(), nullptr),
      uses_(graph.buffers().size(), 0),
      left_(std::make_unique<std::atomic<int32_t>[]>(graph.buffers().size())),
      rows_(graph.expected_rows()),
      tickets_(graph.ops().size(), 0),
      timings_(graph.ops().size()) {
  for (size_t i = 0; i < data_.size(); ++i)
    if (plan_.offset[i] >= 0) data_[i] = arena_.data() + plan_.offset[i];
}

Executor::~Executor() = default;

void Executor::bind(BufferId id, void* data) {
  HECATE_CHECK(graph_->buffer(id).storage == Storage::external,
               "Executor::bind: ", graph_->buffer(id).name, " is not external");
  data_[static_cast<size_t>(id.index)] = data;
}

void Executor::bind_host(BufferId id, void* data) {
  const Buffer& buffer = graph_->buffer(id);
  if (lanes_->device() == DeviceKind::cpu || buffer.bytes == 0) return bind(id, data);
  Copy& copy = copies_[id.index];
  copy.host = data;
  if (copy.block.data() == nullptr)
    copy.block = MemoryBlock(*ledger_, buffer.category, buffer.bytes);
  bind(id, copy.block.data());
}

void Executor::copy_in() {
  for (const auto& [index, copy] : copies_)
    if (uses_[static_cast<size_t>(index)] > 0)
      std::memcpy(copy.block.data(), copy.host, static_cast<size_t>(copy.block.bytes()));
}

void Executor::copy_out() {
  if (copies_.empty()) return;
  for (const Op& op : graph_->ops())
    for (const BufferId id : op.writes) {
      const auto found = copies_.find(id.index);
      if (found == copies_.end() || !runs(op)) continue;
      const Copy& copy = found->second;
      std::memcpy(copy.host, copy.block.data(), static_cast<size_t>(copy.block.bytes()));
    }
}

bool Executor::runs(const Op& op) const {
  return op.when == When::always || (op.when == When::first_micro_batch ? first_ : last_);
}

void Executor::run(bool first_micro_batch, bool last_micro_batch) {
  first_ = first_micro_batch;
  last_ = last_micro_batch;
  std::fill(uses_.begin(), uses_.end(), 0);
  for (const Op& op : graph_->ops()) {
    if (!runs(op)) continue;
    for_each_buffer(op, [&](BufferId id) {
      const Buffer& buffer = graph_->buffer(id);
      HECATE_CHECK(buffer.storage != Storage::external || buffer.bytes == 0 ||
                       data_[static_cast<size_t>(id.index)] != nullptr,
                   op.name, ": external buffer ", buffer.name, " is not bound");
      ++uses_[static_cast<size_t>(id.index)];
    });
  }
  for (size_t i = 0; i < uses_.size(); ++i) left_[i].store(uses_[i], std::memory_order_relaxed);
  copy_in();

  std::array<bool, kLanes> used{};
  for (size_t i = 0; i < graph_->ops().size(); ++i) {
    const Op& op = graph_->ops()[i];
    timings_[i] = {};
    tickets_[i] = 0;
    if (!runs(op)) continue;
    Lane& lane = lanes_->lane(op.lane);
    for (int32_t other : op.depends_on)
      if (tickets_[static_cast<size_t>(other)] > 0)
        lane.wait_for(lanes_->lane(graph_->ops()[static_cast<size_t>(other)].lane),
                      tickets_[static_cast<size_t>(other)]);
    tickets_[i] = lane.submit(
        {.call = &Executor::run_task, .object = this, .argument = static_cast<int64_t>(i)});
    used[static_cast<size_t>(op.lane)] = true;
  }
  std::exception_ptr error;
  for (size_t lane = 0; lane < kLanes; ++lane) {
    if (!used[lane]) continue;
    try {
      lanes_->lane(static_cast<LaneKind>(lane)).synchronize();
    } catch (...) {
      if (!error) error = std::current_exception();
    }
  }
  if (!error) return copy_out();
  release_all();
  std::rethrow_exception(error);
}

void Executor::run_task(void* self, int64_t index, Stream& stream) {
  static_cast<Executor*>(self)->run_op(index, stream);
}

void Executor::run_op(int64_t index, Stream& stream) {
  const Op& op = graph_->ops()[static_cast<size_t>(index)];
  acquire(op);
  const Clock::time_point begin = Clock::now();
  OpContext context(*this, op, stream);
  if (op.run) op.run(context);
  if (options_.pace_flops_per_s > 0 && op.lane == LaneKind::compute) pace(op, begin);
  timings_[static_cast<size_t>(index)] = {nanoseconds(begin), nanoseconds(Clock::now())};
  if (checks_) look_at(static_cast<int32_t>(index));
  if (observer_) observer_(context);
  release(op);
}

void Executor::pace(const Op& op, Clock::time_point begin) const {
  double flops = op.cost.flops;
  if (op.cost.rows.valid())
    flops +=
        op.cost.flops_per_row * static_cast<double>(rows_[static_cast<size_t>(op.cost.rows.index)]);
  std::this_thread::sleep_until(
      begin + std::chrono::duration_cast<Clock::duration>(
                  std::chrono::duration<double>(flops / options_.pace_flops_per_s)));
}

void Executor::check_finite(bool on) {
  checks_ = on;
  if (on) not_finite_ = {};
}

bool Executor::is_finite(BufferId id) const {
  const Buffer& buffer = graph_->buffer(id);
  // External memory is its owner's; tokens among it have none.
  if (buffer.storage == Storage::external) return true;
  int64_t bytes = buffer.bytes;
  if (buffer.storage == Storage::pooled) bytes *= rows_[static_cast<size_t>(buffer.rows.index)];
  const void* data = data_[static_cast<size_t>(id.index)];
  const auto all = [&]<class T>(const T* values) {
    return std::all_of(values, values + bytes / static_cast<int64_t>(sizeof(T)),
                       [](T value) { return std::isfinite(value); });
  };
  if (buffer.dtype == DType::f32) return all(static_cast<const float*>(data));
  if (buffer.dtype == DType::f64) return all(static_cast<const double*>(data));
  return true;
}

void Executor::look_at(int32_t index) {
  for (const BufferId id : graph_->ops()[static_cast<size_t>(index)].writes) {
    if (is_finite(id)) continue;
    const std::lock_guard lock(not_finite_mutex_);
    if (not_finite_.op < 0 || index < not_finite_.op) not_finite_ = {.op = index, .buffer = id};
    return;
  }
}

void Executor::acquire(const Op& op) {
  for (BufferId id : op.writes) {
    const Buffer& buffer = graph_->buffer(id);
    void*& data = data_[static_cast<size_t>(id.index)];
    if (buffer.storage == Storage::pooled && data == nullptr)
      data = pool_.acquire(buffer.bytes * rows_[static_cast<size_t>(buffer.rows.index)]);
  }
}

void Executor::release(const Op& op) {
  for_each_buffer(op, [&](BufferId id) {
    const auto index = static_cast<size_t>(id.index);
    if (left_[index].fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    if (graph_->buffer(id).storage != Storage::pooled) return;
    pool_.release(static_cast<std::byte*>(data_[index]));
    data_[index] = nullptr;
  });
}

void Executor::release_all() {
  for (size_t i = 0; i < data_.size(); ++i) {
    if (graph_->buffers()[i].storage != Storage::pooled || data_[i] == nullptr) continue;
    pool_.release(static_cast<std::byte*>(data_[i]));
    data_[i] = nullptr;
  }
}

}  // namespace hecate::graph
