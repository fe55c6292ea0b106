#pragma once
#include <ostream>
#include <string>
#include <vector>

#include "tests/launcher/train/rank_run.h"
#include "tests/launcher/train/tiny_run.h"

namespace hecate::launcher {

/// A run of several ranks that must train as one process does. Routing does not depend on values
/// (router.source is zipf:1.2 unless settings say otherwise), so every difference is one of
/// arithmetic.
struct RankCase {
  std::string name;
  int ranks = 1;
  int ranks_per_node = 0;
  int64_t micro_batches = 1;
  int64_t batch = 24;  ///< sequences a step
  std::vector<std::string> settings;
  bool jumps = false;  ///< routing is JumpingRouting instead
};
inline void PrintTo(const RankCase& test, std::ostream* out) {
  *out << test.name;
}

/// The model and batch of all cases, complete; 6 experts.
RunConfig case_config(const TinyRun& run, const RankCase& test, int ranks);

/// The case's options of a run on `ranks` ranks.
RankRunOptions case_options(const RunConfig& config, const RankCase& test, int ranks, int64_t steps,
                            double rate);

RankResult run_case(const TinyRun& run, const RankCase& test, int64_t steps);

/// Expects losses, gradient norms and the last gradients of 1 and of 5 steps to be those of one
/// process. @return the longer run.
RankResult expect_same_training(const TinyRun& run, const RankCase& test);

}  // namespace hecate::launcher
