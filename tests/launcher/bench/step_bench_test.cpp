#include "launcher/bench/step_bench.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "launcher/train/setup.h"
#include "tests/launcher/train/tiny_run.h"

namespace hecate::launcher {
namespace {

using Json = nlohmann::json;

void expect_spread(const Json& value) {
  EXPECT_GT(value["min"].get<double>(), 0);
  EXPECT_LE(value["min"], value["median"]);
  EXPECT_LE(value["median"], value["max"]);
}

TEST(StepBench, SetsEveryKindOfOperationBesideItsLimit) {
  const TinyRun run;
  StepBenchOptions options;
  options.engine = engine_options(run.config());
  options.repeats = 3;
  options.warmup = 1;
  options.peak_seconds = 0.002;
  options.memory_elements = 1 << 16;
  options.memory_seconds = 0.001;
  std::ostringstream out;
  bench_step(options, out);
  const Json line = Json::parse(out.str());
  for (const char* key :
       {"tokens_per_s", "flops_per_s", "peak_flops_per_s", "memory_bytes_per_s", "of_peak"})
    expect_spread(line[key]);
  double shares = 0;
  for (const char* kind : {"embedding", "normalization", "gemm", "attention", "elementwise",
                           "routing", "permutation", "expert_gemm", "loss", "optimizer"}) {
    SCOPED_TRACE(kind);
    ASSERT_TRUE(line["breakdown"].contains(kind));
    const Json& figures = line["breakdown"][kind];
    for (const char* key : {"seconds", "limit_seconds", "of_limit", "of_step"})
      expect_spread(figures[key]);
    EXPECT_LE(figures["of_peak"]["max"].get<double>(),
              figures["of_limit"]["max"].get<double>() * (1 + 1e-9))
        << "the limit is at least the time of the flops";
    shares += figures["of_step"]["min"].get<double>();
  }
  EXPECT_LE(shares, 1);
}

}  // namespace
}  // namespace hecate::launcher
