#pragma once
#include <string>
#include <vector>

#include "runtime/base/config_fields.h"
#include "scheduler/decay.h"
#include "scheduler/factory.h"

namespace hecate::scheduler {

struct PowerConfig {
  double a = 4;
  double b = -0.51;
  std::string variant = "paper";

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("a", self.a, "factor of the power law, for a batch of one sequence of 4096 tokens",
          at_least(0));
    visit("b", self.b, "exponent of the tokens seen", any());
    visit("variant", self.variant,
          "granite: the warm-up goes to the peak, the decay starts from the unclipped law",
          one_of({"paper", "granite"}));
  }
};

/// [schedule]; lengths as in length.h.
struct ScheduleConfig {
  std::string kind = "cosine";
  double rate = 1e-3;
  double floor_ratio = 0.1;
  std::string warmup = "2%";
  std::string decay = "10%";
  std::string decay_shape = "linear";
  std::string half_life;
  std::string tail = "0";
  std::vector<std::string> end_points;
  std::string decay_of = "cumulative";
  PowerConfig power;

  /// The kind's own defaults: power 0.02 as the highest rate; a floor of 0 for power, wsd and
  /// linear, of 0.1 for the others; the inverse decay for wsd_s; a tail of 10% for wsdc. An unknown
  /// kind gets those of cosine.
  static ScheduleConfig of_kind(const std::string& kind);

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("kind", self.kind, "shape of the learning rate; decides the defaults of rate and floor",
          one_of(schedule_kinds()));
    visit("rate", self.rate, "peak learning rate; power: what the law is clipped at", at_least(0));
    visit("floor_ratio", self.floor_ratio, "rate at the end, as a share of the peak",
          between(0, 1));
    visit("warmup", self.warmup,
          "linear rise from 0: steps (200), tokens (1B tokens) or a share of the run (2%)", any());
    visit("decay", self.decay,
          "wsd, wsdc, power: length of the decay, as warmup; wsd_s: share of the tokens so far",
          any());
    visit("decay_shape", self.decay_shape, "wsd, wsdc, wsd_s, power: how the decay falls",
          one_of(Decay::names()));
    visit("half_life", self.half_life,
          "decay_shape = half: how long half the rate takes, as warmup", any());
    visit("tail", self.tail, "wsdc: how long the rate stays at the floor, as warmup", any());
    visit("end_points", self.end_points,
          "wsd_s, cyclic_cosine: where cycles end, as warmup; none: at the run's end only", any());
    visit("decay_of", self.decay_of, "wsd_s: what decay is a share of",
          one_of({"cumulative", "cycle"}));
    visit("power", self.power, "the power law, rate(n) = batch * a * n^b");
  }
};

}  // namespace hecate::scheduler
