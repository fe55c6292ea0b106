#pragma once
#include <cstdint>
#include <iosfwd>
#include <span>

#include "launcher/train/engine.h"

namespace hecate::launcher {

struct StepBenchOptions {
  EngineOptions engine;
  int64_t repeats = 15;
  int64_t warmup = 3;
  double peak_seconds = 0.1;                   ///< of the multiply-add loop before each step
  int64_t memory_elements = int64_t{1} << 25;  ///< beyond the caches
  double memory_seconds = 0.05;                ///< of the memory loop before that
};

/// Times whole training steps (forward, backward, clipping, AdamW) on random tokens with the
/// model's own routing. Before each step a multiply-add loop and a loop over memory run on the same
/// threads, so that ratios are taken at the machine's speed of that moment. `out` gets one JSON
/// object: medians and spreads of tokens/s, flop/s and its ratio to the loop; by kind of operation
/// its seconds, the least seconds that its flops (at the loop's rate) or its operands (moved once
/// at the memory's rate, whichever takes longer) allow, and the ratio `of_limit`, above 1 where
/// operands still lay in a cache; peak and predicted bytes, hardware. Flops count the causal half
/// of attention only. @throws as Engine.
void bench_step(const StepBenchOptions& options, std::ostream& out);

/// Writes this machine as a profile for `hecate simulate`: the loops' rates, and what each kind of
/// product reached in steps of each of these micro-batches (sequences). Links are not measured:
/// the profile has the defaults. @throws as Engine.
void write_profile(StepBenchOptions options, std::span<const int64_t> micro_batches,
                   std::ostream& out);

}  // namespace hecate::launcher
