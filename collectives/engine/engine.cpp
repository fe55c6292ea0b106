#include "collectives/engine/engine.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <utility>

#include "collectives/engine/reduce.h"
#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

// Messages carry the low 7 bits of the sequence number; the last value is for point-to-point.
constexpr uint32_t kSequences = 127;
// An operation this far ahead of the oldest one of its communicator waits.
constexpr int64_t kSequenceWindow = 100;
constexpr int32_t kReceiveWindow = 64;
constexpr int32_t kSendWindow = 64;
// Ready sends that do not fit now and are looked past in search of one that does.
constexpr size_t kLookPast = 64;
// Bulk on its way at a time, in segments: from a node to all others (its ranks share the link), and
// from a rank to each other one. Enough to keep the link busy while this thread waits for a
// processor, and little: what a relay passes on waits behind it. One window per rank, so that a
// rank that takes its time does not keep the link from the others; by the rank's share of the link
// where the program says it, so that no stream gets ahead of those that need the link longest.
constexpr int64_t kLinkSegments = 16;
constexpr int64_t kPeerSegments = 4;
// The same for bytes to a rank of this node.
constexpr int64_t kBulkInside = 1 << 20;
// Where urgent operations come and go, at most this long apart, only one segment of bulk is on its
// way to other nodes, so that the next urgent message finds the link nearly empty,
constexpr std::chrono::milliseconds kUrgentMemory{200};
// and no new one goes while an urgent operation moves. One that has not moved for this long waits
// for a late rank.
constexpr std::chrono::microseconds kUrgentPatience{3000};

// What an operation of a bulk lane moves before it counts as bulk to the transport: fewer bytes are
// gone before they could be in anybody's way, and come sooner without an acknowledgement.
constexpr int64_t kSmallSegments = 4;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

int urgency(LaneKind lane) {
  switch (lane) {
    case LaneKind::host:
    case LaneKind::compute:
    case LaneKind::dispatch:
      return 0;
    case LaneKind::dense:
    case LaneKind::sparse:
      return 1;
  }
  return 1;
}

void Doorbell::ring() {
  {
    const std::lock_guard lock(mutex_);
    pending_ = true;
  }
  rung_.notify_one();
}

void Doorbell::sleep(std::chrono::nanoseconds limit) {
  std::unique_lock lock(mutex_);
  rung_.wait_for(lock, limit, [&] { return pending_; });
  pending_ = false;
}

Engine::Engine(std::unique_ptr<Transport> transport, const CommunicatorOptions& options,
               Doorbell& doorbell)
    : transport_(std::move(transport)),
      options_(options),
      doorbell_(&doorbell),
      traffic_(transport_->size()) {
  const auto nodes = transport_->nodes();
  const int here = nodes[static_cast<size_t>(transport_->rank())];
  const int64_t locals = std::count(nodes.begin(), nodes.end(), here);
  const int64_t others = std::max<int64_t>(1, std::ssize(nodes) - locals);
  link_window_ = std::max<int64_t>(1, kLinkSegments / locals) * options_.segment_bytes;
  peer_window_ = std::max(kPeerSegments, kLinkSegments / others) * options_.segment_bytes;
  if (options_.flight_directory.empty()) return;
  // What an earlier job left there is no evidence.
  std::error_code ignored;
  std::filesystem::remove(flight_file(options_.flight_directory, transport_->rank()), ignored);
  if (transport_->rank() == 0)
    std::filesystem::remove(flight_report_file(options_.flight_directory), ignored);
}

Engine::~Engine() = default;

std::shared_ptr<EngineWork> Engine::submit(Submission submission) {
  std::shared_ptr<EngineWork> work;
  {
    const std::lock_guard lock(mutex_);
    const uint64_t id = next_id_++;
    work = std::make_shared<EngineWork>(*this, id, options_.timeout);
    auto operation = std::make_unique<Operation>(id, std::move(submission), work);
    const Submission& request = operation->request;
    const bool ordered = !request.point_to_point;
    operation->flight_ticket =
        flight_.add({.operation = request.name,
                     .lane = request.lane,
                     .context = request.context,
                     .ranks = request.ranks,
                     .sequence = ordered ? request.sequence : FlightEntry::kPointToPoint,
                     .bytes = request.bytes,
                     .state = OperationState::queued,
                     .begin_ns = now_ns(),
                     .end_ns = 0,
                     .late = {}});
    if (abandoned_) {
      work->finish(std::make_exception_ptr(CommError("the world was closed")));
      return work;
    }
    submitted_.push_back(std::move(operation));
  }
  doorbell_->ring();
  return work;
}

void Engine::cancel(uint64_t operation) {
  {
    const std::lock_guard lock(mutex_);
    cancelled_.push_back(operation);
  }
  doorbell_->ring();
}

void Engine::abandon() {
  abandoned_ = true;
  doorbell_->ring();
}

void Engine::fail_all() {
  const auto closed = std::make_exception_ptr(CommError("the world was closed"));
  for (auto& operation : waiting_) active_.push_back(std::move(operation));
  waiting_.clear();
  for (auto& operation : active_) finish(*operation, closed);
}

Operation* Engine::find(uint64_t id) {
  const auto at = std::find_if(active_.begin(), active_.end(),
                               [&](const auto& op) { return op && op->id == id; });
  return at == active_.end() ? nullptr : at->get();
}

bool Engine::too_far_ahead(const Operation& operation) const {
  if (operation.request.point_to_point) return false;
  return std::any_of(active_.begin(), active_.end(), [&](const auto& other) {
    return !other->request.point_to_point && other->request.context == operation.request.context &&
           other->request.sequence + kSequenceWindow < operation.request.sequence;
  });
}

bool Engine::accept() {
  std::vector<std::unique_ptr<Operation>> arrived;
  std::vector<uint64_t> cancelled;
  {
    const std::lock_guard lock(mutex_);
    arrived.swap(submitted_);
    cancelled.swap(cancelled_);
  }
  bool moved = !arrived.empty();
  for (auto& operation : arrived) waiting_.push_back(std::move(operation));
  std::vector<std::unique_ptr<Operation>> still_waiting;
  for (auto& operation : waiting_) {
    if (too_far_ahead(*operation)) {
      still_waiting.push_back(std::move(operation));
    } else {
      moved |= start(std::move(operation));
    }
  }
  waiting_.swap(still_waiting);
  if (abandoned_) fail_all();
  for (uint64_t id : cancelled) {
    if (Operation* operation = find(id)) time_out(*operation);
    for (auto& operation : waiting_)
      if (operation->id == id) active_.push_back(std::move(operation)), time_out(*active_.back());
    std::erase(waiting_, nullptr);
  }
  return moved;
}

bool Engine::start(std::unique_ptr<Operation> operation) {
  Operation& op = *operation;
  const auto before = [&](const auto& other) {
    return urgency(other->request.lane) <= urgency(op.request.lane);
  };
  active_.insert(std::partition_point(active_.begin(), active_.end(), before),
                 std::move(operation));
  flight_.update(op.flight_ticket, OperationState::running, now_ns());
  if (broken_.contains(op.request.context)) {
    finish(op, std::make_exception_ptr(CommError(
                   concat(op.request.name, ": this communicator failed in an earlier operation"))));
    return true;
  }
  op.in_prologue = !op.request.prologue.steps.empty();
  op.load(std::move(op.in_prologue ? op.request.prologue : op.request.program));
  if (op.finished()) finish_stage(op);
  return true;
}

std::byte* Engine::resolve(Operation& op, const Operand& operand) {
  if (operand.slot < 0) return operand.data;
  const auto slot = static_cast<size_t>(operand.slot);
  if (op.slot_memory[slot] == nullptr)
    op.slot_memory[slot] = scratch_.acquire(op.program.slot_bytes[slot]);
  return op.slot_memory[slot] + operand.offset;
}

void Engine::release(Operation& op, const Operand& operand) {
  if (operand.slot < 0) return;
  const auto slot = static_cast<size_t>(operand.slot);
  if (--op.slot_users[slot] > 0 || op.slot_memory[slot] == nullptr) return;
  scratch_.release(op.slot_memory[slot]);
  op.slot_memory[slot] = nullptr;
}

void Engine::release_step(Operation& op, int32_t number) {
  const Step& step = op.program.steps[static_cast<size_t>(number)];
  release(op, step.output);
  for (int32_t i = 0; i < step.input_count; ++i)
    release(op, op.program.operands[static_cast<size_t>(step.inputs + i)]);
}

MessageKey Engine::key_of(const Operation& op, const Step& step) const {
  const uint32_t sequence = op.request.point_to_point
                                ? kSequences
                                : static_cast<uint32_t>(op.request.sequence % kSequences);
  return {.context = op.request.context, .sequence = sequence, .index = step.index};
}

int Engine::world_rank(const Operation& op, int peer) const {
  return (*op.request.ranks)[static_cast<size_t>(peer)];
}

bool Engine::post_receives(Operation& op) {
  bool moved = false;
  while (op.next_receive < op.receives.size() && op.receives_in_flight < kReceiveWindow) {
    const int32_t number = op.receives[op.next_receive];
    if (op.missing[static_cast<size_t>(number)] > 0) break;
    const Step& step = op.program.steps[static_cast<size_t>(number)];
    ++op.next_receive;
    ++op.receives_in_flight;
    op.posted[static_cast<size_t>(number)] = 1;
    transport_->receive(world_rank(op, step.peer), key_of(op, step), resolve(op, step.output),
                        step.bytes, {.operation = op.id, .step = number});
    moved = true;
  }
  return moved;
}

bool Engine::crosses(const Operation& op, const Step& step) const {
  const auto nodes = transport_->nodes();
  return nodes[static_cast<size_t>(world_rank(op, step.peer))] !=
         nodes[static_cast<size_t>(transport_->rank())];
}

void Engine::count_send(Operation& op, const Step& step, int direction) {
  const int64_t bytes = direction * step.bytes;
  op.peer_bytes[static_cast<size_t>(step.peer)] += bytes;
  if (!crosses(op, step)) {
    local_sends_ += direction;
  } else if (urgency(op.request.lane) > 0) {
    bulk_between_ += bytes;
  }
}

TrafficKind Engine::kind_of(const Operation& op) {
  return op.in_prologue ? TrafficKind::other : op.traffic;
}

bool Engine::is_bulk(const Operation& op) const {
  return urgency(op.request.lane) > 0 && op.request.bytes > kSmallSegments * options_.segment_bytes;
}

void Engine::post_send(Operation& op, int32_t number) {
  const Step& step = op.program.steps[static_cast<size_t>(number)];
  op.posted[static_cast<size_t>(number)] = 1;
  ++op.sends_in_flight;
  count_send(op, step, 1);
  traffic_.add_sent(op.request.lane, kind_of(op), world_rank(op, step.peer), step.bytes);
  transport_->send(world_rank(op, step.peer), key_of(op, step), resolve(op, step.output),
                   step.bytes, is_bulk(op), {.operation = op.id, .step = number});
}

int64_t Engine::window_of(double share) const {
  const auto segments = std::lround(share * static_cast<double>(kLinkSegments));
  return std::max<int64_t>(1, segments) * options_.segment_bytes;
}

int64_t Engine::peer_window(const Operation& op, int peer) const {
  const auto& to = op.program.shares.to;
  return to.empty() ? peer_window_ : window_of(to[static_cast<size_t>(peer)]);
}

int64_t Engine::link_window(const Operation& op) const {
  return op.program.shares.to.empty() ? link_window_ : window_of(op.program.shares.out);
}

bool Engine::may_send(const Operation& op, const Step& step) const {
  if (op.sends_in_flight >= kSendWindow) return false;
  if (urgency(op.request.lane) == 0) return true;
  const int64_t queued = op.peer_bytes[static_cast<size_t>(step.peer)];
  if (!crosses(op, step)) return queued + step.bytes <= std::max(kBulkInside, 2 * step.bytes);
  if (bulk_between_ == 0) return true;
  if (pass_time_ - last_urgent_ < kUrgentMemory) return false;
  return queued + step.bytes <= peer_window(op, step.peer) &&
         bulk_between_ + step.bytes <= link_window(op);
}

bool Engine::post_sends(Operation& op) {
  if (op.ready_sends.empty()) return false;
  std::vector<int32_t> held;
  bool moved = false;
  while (!op.ready_sends.empty() && held.size() < kLookPast) {
    const int32_t number = pop_smallest(op.ready_sends);
    // The first one that is not over always goes: see Program about deadlock.
    while (op.over[static_cast<size_t>(op.sends[op.next_send])] != 0) ++op.next_send;
    const bool first = op.sends[op.next_send] == number;
    if (first || may_send(op, op.program.steps[static_cast<size_t>(number)])) {
      post_send(op, number);
      moved = true;
    } else {
      held.push_back(number);
    }
  }
  for (int32_t number : held) {
    op.ready_sends.push_back(number);
    std::push_heap(op.ready_sends.begin(), op.ready_sends.end(), std::greater<>());
  }
  return moved;
}

bool Engine::run_reduction(Operation& op) {
  if (op.ready_reduces.empty()) return false;
  const int32_t number = pop_smallest(op.ready_reduces);
  const Step& step = op.program.steps[static_cast<size_t>(number)];
  std::vector<Source> inputs;
  for (int32_t i = 0; i < step.input_count; ++i) {
    const Operand& operand = op.program.operands[static_cast<size_t>(step.inputs + i)];
    inputs.push_back({.data = resolve(op, operand), .wide = operand.wide});
  }
  reduce_in_order(op.program.type, op.program.op, inputs, resolve(op, step.output),
                  step.output.wide, step.count);
  release_step(op, number);
  op.complete(number);
  return true;
}

bool Engine::advance(Operation& op, bool urgent_moving) {
  bool moved = post_receives(op);
  if (urgent_moving && urgency(op.request.lane) > 0) {
    holds_back_ |= !op.ready_sends.empty();
  } else {
    moved |= post_sends(op);
  }
  moved |= run_reduction(op);
  if (moved) op.last_moved = pass_time_;
  return moved;
}

void Engine::check_received(Operation& op, int32_t number) {
  if (op.in_prologue || !op.request.received) return;
  try {
    op.request.received(number);
  } catch (...) {
    finish(op, std::current_exception());
  }
}

bool Engine::handle_completions() {
  completions_.clear();
  transport_->poll(completions_);
  for (const Completion& completion : completions_) {
    Operation* op = find(completion.ticket.operation);
    if (op == nullptr || op->work->done()) continue;
    const int32_t number = completion.ticket.step;
    const Step& step = op->program.steps[static_cast<size_t>(number)];
    if (!completion.error.empty()) {
      finish(*op,
             std::make_exception_ptr(CommError(concat(op->request.name, ": transfer with rank ",
                                                      step.peer, " failed: ", completion.error))));
      dump_flight_record();
      continue;
    }
    if (step.kind == StepKind::send) {
      --op->sends_in_flight;
      count_send(*op, step, -1);
    } else {
      --op->receives_in_flight;
      traffic_.add_received(op->request.lane, kind_of(*op), world_rank(*op, step.peer), step.bytes);
    }
    release_step(*op, number);
    op->complete(number);
    op->last_moved = pass_time_;
    if (step.kind == StepKind::receive) check_received(*op, number);
  }
  return !completions_.empty();
}

std::chrono::microseconds Engine::attention() const {
  using std::chrono::microseconds;
  if (local_sends_ > 0) return microseconds(1000);
  const auto bulk = [&](const auto& op) { return is_bulk(*op); };
  const bool only_bulk = std::all_of(active_.begin(), active_.end(), bulk);
  return only_bulk && bulk_between_ > 0 ? microseconds(25) : microseconds(60);
}

bool Engine::progress() {
  bool moved = accept();
  pass_time_ = std::chrono::steady_clock::now();
  bool urgent_moving = false;
  holds_back_ = false;
  for (auto& operation : active_) {
    Operation& op = *operation;
    if (op.work->done()) continue;
    try {
      moved |= advance(op, urgent_moving);
      while (op.finished() && !op.work->done() && finish_stage(op)) moved = true;
    } catch (...) {
      finish(op, std::current_exception());
    }
    if (urgency(op.request.lane) == 0) {
      last_urgent_ = pass_time_;
      urgent_moving |= pass_time_ - op.last_moved < kUrgentPatience;
    }
  }
  moved |= handle_completions();
  for (auto& operation : active_)
    if (operation->finished() && !operation->work->done()) moved |= finish_stage(*operation);
  erase_finished();
  return moved;
}

bool Engine::finish_stage(Operation& op) {
  if (!op.in_prologue) {
    finish(op, nullptr);
    return true;
  }
  op.in_prologue = false;
  try {
    op.request.check();
    op.load(std::move(op.request.program));
  } catch (...) {
    finish(op, std::current_exception());
    return true;
  }
  if (op.finished()) finish(op, nullptr);
  return true;
}

void Engine::finish(Operation& op, std::exception_ptr error) {
  if (op.work->done()) return;
  if (error) {
    failed_ = true;
    op.failed = true;
    broken_.insert(op.request.context);
    // Its slots are given up, not reused.
    transport_->cancel(op.id);
    for (size_t i = 0; i < op.program.steps.size(); ++i) {
      const Step& step = op.program.steps[i];
      if (step.kind == StepKind::send && op.posted[i] != 0 && op.over[i] == 0)
        count_send(op, step, -1);
    }
  }
  flight_.update(op.flight_ticket, error ? OperationState::failed : OperationState::done, now_ns());
  op.work->finish(std::move(error));
}

void Engine::time_out(Operation& op) {
  if (op.work->done()) return;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - op.begin;
  for (const auto& operation : active_)
    flight_.set_late(operation->flight_ticket, late_ranks(*operation));
  std::string peers;
  for (int rank : late_ranks(op)) peers += concat(peers.empty() ? "" : ", ", rank);
  const std::string message =
      concat(op.request.name, " timed out on rank ", transport_->rank(), " after ", elapsed.count(),
             " s, waiting for rank ", peers.empty() ? "(none)" : peers, " (lane ",
             name_of(op.request.lane), ", communicator ", op.request.context, ", operation ",
             op.request.sequence, ")");
  finish(op, std::make_exception_ptr(CommError(message)));
  dump_flight_record();
}

void Engine::erase_finished() {
  for (auto& operation : active_)
    if (operation->failed) graveyard_.push_back(std::move(operation));
  std::erase(active_, nullptr);
  std::erase_if(active_, [](const auto& op) { return op->work->done(); });
}

std::vector<int> Engine::late_ranks(const Operation& op) const {
  std::vector<int> ranks = op.late_peers();
  for (int& rank : ranks) rank = world_rank(op, rank);
  return ranks;
}

void Engine::dump_flight_record() const {
  const int rank = transport_->rank();
  leave_record(flight_file(options_.flight_directory, rank), rank, flight_.snapshot());
}

}  // namespace hecate::collectives
