#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/config_fields.h"

/// Population based training (arXiv:1711.09846): what is searched, and how.
namespace hecate::population {

/// One hyper-parameter of the search.
struct DimensionConfig {
  std::string key;
  std::string kind = "log_uniform";
  double min = 0, max = 0;
  double scale = 0;
  std::vector<std::string> values;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("key", self.key, "configuration key that is searched, such as schedule.rate", any());
    visit("kind", self.kind, "prior that first values come from",
          one_of({"log_uniform", "uniform", "integer", "choice", "constant"}));
    visit("min", self.min, "lower bound; no value ever passes it", any());
    visit("max", self.max, "upper bound; no value ever passes it", any());
    visit("scale", self.scale,
          "explore = additive: standard deviation of a change, of the logarithm for log_uniform; "
          "0: a tenth of the range",
          at_least(0));
    visit("values", self.values, "choice: the values, in order; constant: the one value", any());
  }
};

struct PopulationConfig {
  int64_t members = 6;
  int64_t slots = 2;
  int64_t ranks = 1;
  int64_t interval = 100;
  std::string interval_unit = "steps";
  int64_t burn_in = 0;
  std::string metric = "eval_loss";
  std::string mode = "min";
  std::string exploit = "truncation";
  double quantile = 0.2;
  int64_t window = 10;
  double p_value = 0.05;
  std::string explore = "perturb";
  std::vector<double> factors = {0.8, 1.2};
  double resample = 0.25;
  double heartbeat_seconds = 1;
  double timeout_seconds = 10;
  double reconnect_seconds = 30;
  double give_up_seconds = 600;
  int64_t retries = 5;
  std::vector<DimensionConfig> search;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("members", self.members, "models that train side by side", at_least(1));
    visit("slots", self.slots, "workers that hecate pbt starts; members take turns on them",
          at_least(0));
    visit("ranks", self.ranks, "ranks of each worker that hecate pbt starts", at_least(1));
    visit("interval", self.interval, "training between two decisions about a member", at_least(1));
    visit("interval_unit", self.interval_unit, "what interval and burn_in count",
          one_of({"steps", "tokens"}));
    visit("burn_in", self.burn_in, "training before a member may first be replaced", at_least(0));
    visit("metric", self.metric,
          "score: a number of steps.jsonl by name, as eval_loss, loss or load.0.entropy", any());
    visit("mode", self.mode, "whether a small or a large score is good", one_of({"min", "max"}));
    visit("exploit", self.exploit,
          "when a member becomes a copy: truncation (it is among the worst), t_test (a member "
          "drawn at random is better by Welch's test), binary_tournament (it is better), none",
          one_of({"truncation", "t_test", "binary_tournament", "none"}));
    visit("quantile", self.quantile, "truncation: share of the members that is replaced",
          between(0, 0.5));
    visit("window", self.window, "t_test: scores of each member that are compared", at_least(2));
    visit("p_value", self.p_value, "t_test: two-sided significance that is asked for",
          between(0, 1));
    visit("explore", self.explore,
          "what a copy's values become: perturb (times one of factors), resample (drawn anew with "
          "probability resample, else perturb), additive (plus a normal draw)",
          one_of({"perturb", "resample", "additive"}));
    visit("factors", self.factors, "perturb: factors, drawn evenly", any());
    visit("resample", self.resample, "probability that a value is drawn anew", between(0, 1));
    visit("heartbeat_seconds", self.heartbeat_seconds, "between signs of life of a worker",
          at_least(0.01));
    visit("timeout_seconds", self.timeout_seconds, "of silence after which a connection is dropped",
          at_least(0.1));
    visit("reconnect_seconds", self.reconnect_seconds,
          "for a worker that lost its connection to come back before its member goes to another",
          at_least(0));
    visit("give_up_seconds", self.give_up_seconds,
          "of trying to reach the controller after which a worker ends", at_least(0.1));
    visit("retries", self.retries,
          "failures or divergences in a row after which a member is given up", at_least(0));
    visit("search", self.search, "the hyper-parameters that are searched", any());
  }

  /// @throws InvalidArgument naming the key.
  void validate() const;
};

}  // namespace hecate::population
