#include <algorithm>
#include <boost/context/fiber.hpp>
#include <boost/context/pooled_fixedsize_stack.hpp>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "cuda_runtime.h"

namespace emulated_cuda {
namespace {

namespace context = boost::context;
constexpr int kWarp = 32;

enum class State { ready, block, warp, done };

struct Thread {
  context::fiber fiber;
  context::fiber* back = nullptr;  // to run_ready, valid inside the fiber
  State state = State::ready;
};

// The block that runs on this host thread.
struct Block {
  std::vector<Thread> threads;
  std::vector<uint64_t> slots;  // per thread
  size_t current = 0;

  void wait(State state) {
    threads[current].state = state;
    context::fiber& back = *threads[current].back;
    back = std::move(back).resume();
  }
};
thread_local Block* block = nullptr;

[[noreturn]] void stuck() {
  std::fputs("emulated CUDA: threads of a block wait at different barriers for ever\n", stderr);
  std::abort();
}

size_t warp_begin(size_t thread) {
  return thread / kWarp * kWarp;
}

// Lets the threads in [begin, end) go on if all that have not returned wait for `state`.
bool release(std::vector<Thread>& threads, size_t begin, size_t end, State state) {
  bool any = false;
  for (size_t i = begin; i < end; ++i) {
    if (threads[i].state == State::done) continue;
    if (threads[i].state != state) return false;
    any = true;
  }
  for (size_t i = begin; i < end; ++i)
    if (threads[i].state == state) threads[i].state = State::ready;
  return any;
}

bool release_some(std::vector<Thread>& threads) {
  bool any = release(threads, 0, threads.size(), State::block);
  for (size_t warp = 0; warp < threads.size(); warp += kWarp)
    any |= release(threads, warp, std::min(threads.size(), warp + kWarp), State::warp);
  return any;
}

bool run_ready(Block& own) {
  bool waiting = false;
  for (size_t i = 0; i < own.threads.size(); ++i) {
    Thread& thread = own.threads[i];
    if (thread.state == State::ready) {
      own.current = i;
      threadIdx.x = static_cast<unsigned>(i);
      thread.fiber = std::move(thread.fiber).resume();
    }
    waiting |= thread.state != State::done;
  }
  return waiting;
}

void run_block(Block& own, size_t size, void (*thread)(void*), void* argument,
               context::pooled_fixedsize_stack& stacks) {
  own.slots.assign((size + kWarp) / kWarp * kWarp, 0);
  own.threads.clear();
  own.threads.resize(size);
  for (Thread& one : own.threads)
    one.fiber = context::fiber(std::allocator_arg, stacks,
                               [&own, thread, argument](context::fiber&& scheduler) {
                                 const size_t index = own.current;
                                 own.threads[index].back = &scheduler;
                                 thread(argument);
                                 own.threads[index].state = State::done;
                                 return std::move(scheduler);
                               });
  while (run_ready(own))
    if (!release_some(own.threads)) stuck();
}

}  // namespace

void run(const cudaLaunchConfig_t& config, void (*thread)(void*), void* argument) {
  thread_local context::pooled_fixedsize_stack stacks(32 * 1024);
  Block own;
  Block* const outer = block;
  block = &own;
  blockDim = config.blockDim;
  gridDim = config.gridDim;
  for (unsigned y = 0; y < config.gridDim.y; ++y)
    for (unsigned x = 0; x < config.gridDim.x; ++x) {
      blockIdx = {x, y, 0};
      run_block(own, config.blockDim.x, thread, argument, stacks);
    }
  block = outer;
}

void block_barrier() {
  block->wait(State::block);
}

void warp_barrier() {
  block->wait(State::warp);
}

int lane() {
  return static_cast<int>(block->current % kWarp);
}

void* slot(int lane) {
  return &block->slots[warp_begin(block->current) + static_cast<size_t>(lane)];
}

unsigned live_lanes() {
  unsigned lanes = 0;
  const size_t begin = warp_begin(block->current);
  for (size_t i = begin; i < std::min(block->threads.size(), begin + kWarp); ++i)
    if (block->threads[i].state != State::done) lanes |= 1u << (i - begin);
  return lanes;
}

}  // namespace emulated_cuda
