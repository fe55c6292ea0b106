#include "launcher/simulate/load_source.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <sstream>
#include <vector>

#include "models/routing_source.h"
#include "runtime/base/error.h"
#include "sharding/sim/loads.h"

namespace hecate::launcher {
namespace {

using sharding::LoadShape;
using sharding::StepLoads;

double number_of(const std::string& text, const std::string& what) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  HECATE_CHECK(error == std::errc{} && end == text.data() + text.size() && value >= 0,
               "loads: ", what, " = '", text, "': expected a number of 0 or more");
  return value;
}

class Synthetic final : public LoadSource {
 public:
  explicit Synthetic(const sharding::sim::SyntheticLoads& loads) : loads_(loads) {}
  StepLoads loads(const LoadShape& shape, int64_t tokens, int64_t top_k,
                  int64_t step) const override {
    return sharding::sim::synthetic_loads(loads_, shape, tokens * top_k, tokens, step);
  }

 private:
  sharding::sim::SyntheticLoads loads_;
};

class Recorded final : public LoadSource {
 public:
  Recorded(models::LoadTrace trace, int64_t from, int64_t every)
      : trace_(std::move(trace)), from_(from), every_(std::max<int64_t>(1, every)) {}

  StepLoads loads(const LoadShape& shape, int64_t tokens, int64_t top_k,
                  int64_t step) const override {
    StepLoads result(shape);
    const int64_t sample = from_ + step / every_;
    const int64_t parts = std::max<int64_t>(1, shape.experts / trace_.experts);
    HECATE_CHECK(parts == 1 || shape.experts % trace_.experts == 0, "loads: the trace has ",
                 trace_.experts, " experts, which do not divide ", shape.experts);
    const int64_t sources = nearest_sources(shape.sources);
    for (int l = 0; l < shape.layers; ++l)
      for (int s = 0; s < shape.sources; ++s) {
        std::vector<double> weights;
        for (int64_t part = 0; part < parts; ++part) {
          const std::vector<int64_t> counts =
              models::scaled_counts(trace_, sample, s % sources, sources, l * parts + part,
                                    std::min<int64_t>(shape.experts, trace_.experts), kUnits, 1);
          weights.insert(weights.end(), counts.begin(), counts.end());
        }
        const std::vector<int64_t> counts = sharding::sim::rounded(weights, tokens * top_k, tokens);
        std::ranges::copy(
            counts, result.layer(l).begin() + static_cast<std::ptrdiff_t>(s) * std::ssize(counts));
      }
    return result;
  }

 private:
  static constexpr int64_t kUnits = 1 << 20;

  // Sources that the trace's ranks divide into or from; others take turns.
  int64_t nearest_sources(int64_t sources) const {
    while (trace_.ranks % sources != 0 && sources % trace_.ranks != 0) --sources;
    return sources;
  }

  models::LoadTrace trace_;
  int64_t from_, every_;
};

using Options = std::map<std::string, std::string>;

Options options_of(std::istringstream& in, std::initializer_list<const char*> known) {
  Options options;
  for (std::string word; std::getline(in, word, ',');) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    std::string names;
    for (const char* each : known) names += std::string(names.empty() ? "" : ", ") + each;
    HECATE_CHECK(equals != std::string::npos && std::ranges::find(known, name) != known.end(),
                 "loads: '", word, "': expected NAME=VALUE of ", names);
    options[name] = word.substr(equals + 1);
  }
  return options;
}

double take(const Options& options, const char* name, double otherwise) {
  const auto found = options.find(name);
  return found == options.end() ? otherwise : number_of(found->second, name);
}

std::unique_ptr<LoadSource> synthetic(const std::string& kind, const std::string& skew,
                                      std::istringstream& in) {
  const Options options = options_of(in, {"drift", "burst", "share", "noise", "seed"});
  sharding::sim::SyntheticLoads loads;
  loads.kind = kind == "even"   ? sharding::sim::LoadKind::even
               : kind == "zipf" ? sharding::sim::LoadKind::zipf
                                : sharding::sim::LoadKind::dirichlet;
  if (kind != "even") loads.skew = number_of(skew, kind);
  HECATE_CHECK(kind != "dirichlet" || loads.skew > 0, "loads: dirichlet:", skew,
               ": expected a number above 0");
  loads.noise = take(options, "noise", loads.noise);
  loads.drift = take(options, "drift", loads.drift);
  loads.burst_chance = take(options, "burst", loads.burst_chance);
  loads.burst_share = take(options, "share", loads.burst_share);
  loads.seed = static_cast<uint64_t>(take(options, "seed", 1));
  return std::make_unique<Synthetic>(loads);
}

}  // namespace

std::unique_ptr<LoadSource> make_load_source(const std::string& text) {
  std::istringstream in(text);
  std::string head;
  std::getline(in, head, ',');
  const size_t colon = head.find(':');
  const std::string kind = head.substr(0, colon);
  const std::string rest = colon == std::string::npos ? "" : head.substr(colon + 1);
  if (kind == "even" || kind == "zipf" || kind == "dirichlet") return synthetic(kind, rest, in);
  HECATE_CHECK(kind == "trace" && !rest.empty(), "loads '", text,
               "': expected even, zipf:S, dirichlet:A or trace:FILE, then options");
  const Options options = options_of(in, {"from", "every"});
  return std::make_unique<Recorded>(models::read_load_trace(rest),
                                    static_cast<int64_t>(take(options, "from", 0)),
                                    static_cast<int64_t>(take(options, "every", 1)));
}

}  // namespace hecate::launcher
