#include "collectives/engine/operation.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "collectives/engine/engine.h"
#include "runtime/base/error.h"

namespace hecate::collectives {

using std::chrono::nanoseconds;

bool EngineWork::wait_until_done(nanoseconds timeout) {
  // A local exchange takes microseconds: worth a short look before the price of sleeping.
  constexpr auto kSpin = std::chrono::microseconds(50);
  const auto until = std::chrono::steady_clock::now() + kSpin;
  do {
    if (done()) return true;
    std::this_thread::yield();
  } while (std::chrono::steady_clock::now() < until);
  std::unique_lock lock(mutex_);
  return finished_.wait_for(lock, timeout, [&] { return done(); });
}

void EngineWork::wait(nanoseconds timeout) {
  if (!wait_until_done(timeout)) {
    engine_->cancel(id_);
    // The engine answers at once unless its thread is stuck inside the transport.
    constexpr auto kPatience = std::chrono::seconds(2);
    if (!wait_until_done(kPatience))
      throw CommError("communication thread does not answer after a time-out");
  }
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
}

void EngineWork::finish(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
  done_.store(true, std::memory_order_release);
  finished_.notify_all();
}

int32_t pop_smallest(std::vector<int32_t>& heap) {
  std::pop_heap(heap.begin(), heap.end(), std::greater<>());
  const int32_t smallest = heap.back();
  heap.pop_back();
  return smallest;
}

Operation::Operation(uint64_t number, Submission submission, std::shared_ptr<EngineWork> awaited)
    : id(number),
      request(std::move(submission)),
      work(std::move(awaited)),
      traffic(traffic_kind(request.name, request.lane)) {
  peer_bytes.resize(request.ranks->size());
}

void Operation::load(Program next) {
  program = std::move(next);
  const size_t steps = program.steps.size();
  missing.assign(steps, 0);
  first_successor.assign(steps + 1, 0);
  for (const auto& edge : program.edges) {
    ++missing[static_cast<size_t>(edge.after)];
    ++first_successor[static_cast<size_t>(edge.before) + 1];
  }
  for (size_t i = 0; i < steps; ++i) first_successor[i + 1] += first_successor[i];
  successors.resize(program.edges.size());
  std::vector<int32_t> cursor(first_successor.begin(), first_successor.end() - 1);
  for (const auto& edge : program.edges)
    successors[static_cast<size_t>(cursor[static_cast<size_t>(edge.before)]++)] = edge.after;
  posted.assign(steps, 0);
  over.assign(steps, 0);
  sends.clear();
  receives.clear();
  ready_sends.clear();
  ready_reduces.clear();
  next_send = next_receive = 0;
  remaining = static_cast<int32_t>(steps);
  count_slot_users();
  for (size_t i = 0; i < steps; ++i) {
    const auto number = static_cast<int32_t>(i);
    if (program.steps[i].kind == StepKind::send) sends.push_back(number);
    if (program.steps[i].kind == StepKind::receive) receives.push_back(number);
    if (missing[i] == 0) make_ready(number);
  }
}

void Operation::count_slot_users() {
  slot_memory.assign(program.slot_bytes.size(), nullptr);
  slot_users.assign(program.slot_bytes.size(), 0);
  auto use = [&](const Operand& operand) {
    if (operand.slot >= 0) ++slot_users[static_cast<size_t>(operand.slot)];
  };
  for (const Step& step : program.steps) {
    use(step.output);
    for (int32_t i = 0; i < step.input_count; ++i)
      use(program.operands[static_cast<size_t>(step.inputs + i)]);
  }
}

void Operation::make_ready(int32_t step) {
  const StepKind kind = program.steps[static_cast<size_t>(step)].kind;
  if (kind == StepKind::receive) return;  // posted in order; looks at `missing` itself
  auto& heap = kind == StepKind::send ? ready_sends : ready_reduces;
  heap.push_back(step);
  std::push_heap(heap.begin(), heap.end(), std::greater<>());
}

void Operation::complete(int32_t step) {
  const auto i = static_cast<size_t>(step);
  over[i] = 1;
  --remaining;
  for (int32_t s = first_successor[i]; s < first_successor[i + 1]; ++s) {
    const int32_t next = successors[static_cast<size_t>(s)];
    if (--missing[static_cast<size_t>(next)] == 0) make_ready(next);
  }
}

std::vector<int> Operation::late_peers() const {
  std::vector<int> peers;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    // A transfer that waits for another one of ours says nothing about its peer.
    if (step.peer >= 0 && over[i] == 0 && missing[i] == 0) peers.push_back(step.peer);
  }
  std::sort(peers.begin(), peers.end());
  peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
  return peers;
}

}  // namespace hecate::collectives
