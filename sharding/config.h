#pragma once
#include <cstdint>
#include <string>

#include "runtime/base/config_fields.h"

namespace hecate::sharding {

/// Table `fssdp`: how experts spread over ranks.
struct FssdpConfig {
  std::string domain = "all";
  int64_t overlap_degree = -1;
  int64_t memory_capacity = -1;
  int64_t reshard_every = 100;
  int64_t window = 5;
  std::string forecast = "mean";
  bool calibrate = false;
  std::string objective = "time";
  double expert_gflops = 0;
  std::string dense = "zero1";
  int64_t prefetch_depth = 1;
  std::string gather_dtype = "f32";
  std::string sparse_algorithm = "auto";
  std::string exchange_algorithm = "auto";
  std::string dispatch = "level";

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("domain", self.domain,
          "ranks that experts spread over: all, node, or a number of consecutive ranks; other "
          "domains hold replicas and share the owners' state",
          any());
    visit("overlap_degree", self.overlap_degree,
          "t: experts of a layer that are gathered ahead; -1: what hides under the compute between "
          "layers, measured once",
          at_least(-1));
    visit("memory_capacity", self.memory_capacity,
          "m: experts of a layer that a rank holds beside its own; -1: what device.memory_gib "
          "leaves, at most t (with calibrate 2 t)",
          at_least(-1));
    visit("reshard_every", self.reshard_every, "steps between new owners; 0: never", at_least(0));
    visit("window", self.window, "steps of measured load that the forecast looks at", at_least(1));
    visit("forecast", self.forecast, "mean | last | ema:A", any());
    visit("calibrate", self.calibrate,
          "fssdp, fssdp-rm: gather more experts after the gate, into the slots that the forecast "
          "left "
          "free, where the true load pays for it",
          any());
    visit("objective", self.objective,
          "planner = balanced: what plans make small, the layers' modelled time or the rows of the "
          "busiest rank",
          one_of({"time", "balance"}));
    visit(
        "expert_gflops", self.expert_gflops,
        "compute rate of experts that calibrate and new owners must pay off against, 10^9 flop/s; "
        "0: measured once",
        at_least(0));
    visit("dense", self.dense,
          "dense parameters: zero1 (ranks share their optimizer state) or zero3 (parameters and "
          "gradients too: layers are gathered when they are used)",
          one_of({"zero1", "zero3"}));
    visit("prefetch_depth", self.prefetch_depth,
          "fssdp-rm, fsdp, dense = zero3: layers gathered ahead of the one in use", at_least(0));
    visit("gather_dtype", self.gather_dtype, "what parameters travel as", one_of({"f32", "bf16"}));
    visit("sparse_algorithm", self.sparse_algorithm, "of the sparse collectives",
          one_of({"auto", "tree", "direct", "group"}));
    visit("exchange_algorithm", self.exchange_algorithm, "of the token exchange",
          one_of({"auto", "flat", "hierarchical"}));
    visit("dispatch", self.dispatch,
          "which holder computes a token: the nearest, or so that replicas are level",
          one_of({"nearest", "level"}));
  }
};

}  // namespace hecate::sharding
