#pragma once
#include <iosfwd>

#include "launcher/train/engine.h"

namespace hecate::launcher {

struct StepBenchOptions {
  EngineOptions engine;
  int64_t repeats = 15;
  int64_t warmup = 3;
  double peak_seconds = 0.1;  ///< of the multiply-add loop before each step
};

/// Times whole training steps (forward, backward, clipping, AdamW) on random tokens with the
/// model's own routing. Before each step a multiply-add loop runs on the same threads, so that the
/// ratio of the two is taken at the machine's speed of that moment.
/// `out` gets one JSON object: medians and spreads of tokens/s, flop/s and the ratio, seconds and
/// flop/s by kind of operation, peak and predicted bytes, hardware.
/// Flops count the causal half of attention only. @throws as Engine.
void bench_step(const StepBenchOptions& options, std::ostream& out);

}  // namespace hecate::launcher
