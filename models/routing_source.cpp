#include "models/routing_source.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/routing_rule.h"
#include "runtime/base/error.h"
#include "runtime/base/nearest_divisors.h"
#include "runtime/base/rng.h"

namespace hecate::models {
namespace {

class EvenRouting final : public RoutingSource {
 public:
  explicit EvenRouting(const RoutingShape& shape) : shape_(shape) {}
  void assign(int64_t, const TokenRange& range, View<int32_t> experts) const override {
    for (int64_t t = 0; t < experts.rows(); ++t)
      for (int64_t k = 0; k < shape_.top_k; ++k)
        experts.row(t)[k] =
            static_cast<int32_t>(((range.first_token + t) * shape_.top_k + k) % shape_.experts);
  }

 private:
  RoutingShape shape_;
};

// Draws without replacement by Gumbel keys: the K largest of log w + G.
class ZipfRouting final : public RoutingSource {
 public:
  ZipfRouting(const RoutingShape& shape, double exponent) : shape_(shape) {
    for (int64_t e = 0; e < shape.experts; ++e)
      log_weight_.push_back(-exponent * std::log(static_cast<double>(e + 1)));
  }
  void assign(int64_t layer, const TokenRange& range, View<int32_t> experts) const override {
    const CounterRng rng(shape_.seed, stream_of("router.zipf") + static_cast<uint64_t>(layer));
    std::vector<std::pair<double, int32_t>> keys(static_cast<size_t>(shape_.experts));
    for (int64_t t = 0; t < experts.rows(); ++t) {
      const int64_t token = range.step * 0x100000000 + range.first_token + t;
      for (int64_t e = 0; e < shape_.experts; ++e) {
        const double uniform = rng.uniform(static_cast<uint64_t>(token * shape_.experts + e));
        keys[static_cast<size_t>(e)] = {
            log_weight_[static_cast<size_t>(e)] - std::log(-std::log(uniform + 0x1.0p-54)),
            static_cast<int32_t>(e)};
      }
      std::partial_sort(keys.begin(), keys.begin() + shape_.top_k, keys.end(), std::greater<>());
      for (int64_t k = 0; k < shape_.top_k; ++k)
        experts.row(t)[k] = keys[static_cast<size_t>(k)].second;
    }
  }

 private:
  RoutingShape shape_;
  std::vector<double> log_weight_;
};

// The token's place when neighbours are spread over the whole range: every part of a batch then
// meets about the same mix of experts. Multiples of a number without common divisor, near the
// golden section of the range, hit every place once.
int64_t spread(int64_t token, int64_t tokens) {
  auto stride = static_cast<int64_t>(0.6180339887498949 * static_cast<double>(tokens));
  while (stride > 1 && std::gcd(stride, tokens) != 1) --stride;
  return token * std::max<int64_t>(1, stride) % tokens;
}

// Choice number c = k * tokens + t goes to the expert whose run of counts holds c: an expert's run
// is at most `tokens` long, so no token meets it twice.
class ReplayRouting final : public RoutingSource {
 public:
  ReplayRouting(const RoutingShape& shape, LoadTrace trace)
      : shape_(shape), trace_(std::move(trace)) {}
  void assign(int64_t layer, const TokenRange& range, View<int32_t> experts) const override {
    std::vector<int64_t> ends =
        scaled_counts(trace_, range.step, shape_.rank, shape_.ranks, ordinal(layer), shape_.experts,
                      range.local_tokens, shape_.top_k);
    std::partial_sum(ends.begin(), ends.end(), ends.begin());
    for (int64_t t = 0; t < experts.rows(); ++t)
      for (int64_t k = 0; k < shape_.top_k; ++k) {
        const int64_t choice =
            k * range.local_tokens + spread(range.local_token + t, range.local_tokens);
        experts.row(t)[k] =
            static_cast<int32_t>(std::upper_bound(ends.begin(), ends.end(), choice) - ends.begin());
      }
  }

 private:
  int64_t ordinal(int64_t layer) const {
    const std::vector<int64_t>& all = shape_.moe_layers;
    if (all.empty()) return layer;
    return std::lower_bound(all.begin(), all.end(), layer) - all.begin();
  }

  RoutingShape shape_;
  LoadTrace trace_;
};

// Gives `missing` more choices to the experts with the largest remainders that have room.
void round_up(std::vector<int64_t>& counts, const std::vector<int64_t>& remainders, int64_t missing,
              int64_t most) {
  std::vector<size_t> order(counts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return remainders[a] > remainders[b]; });
  while (missing > 0)
    for (size_t e : order) {
      if (missing == 0) break;
      if (counts[e] >= most) continue;
      ++counts[e];
      --missing;
    }
}

// What a trace of `recorded` ranks can be replayed on: fewer ranks that divide them, or a multiple.
std::string nearest_ranks(int64_t recorded, int64_t ranks) {
  if (ranks < recorded) return nearest_divisors(recorded, ranks);
  const int64_t below = ranks / recorded * recorded;
  return concat(below, " or ", below + recorded);
}

}  // namespace

std::vector<int64_t> scaled_counts(const LoadTrace& trace, int64_t sample, int64_t rank,
                                   int64_t ranks, int64_t layer, int64_t experts, int64_t tokens,
                                   int64_t top_k) {
  HECATE_CHECK(experts > 0 && trace.experts % experts == 0, "replay: the trace has ", trace.experts,
               " experts, which do not sum to ", experts,
               "; nearest: ", nearest_divisors(trace.experts, experts));
  HECATE_CHECK(ranks > 0 && (trace.ranks % ranks == 0 || ranks % trace.ranks == 0),
               "replay: the trace has ", trace.ranks, " ranks, which neither sum to ", ranks,
               " nor divide into them; nearest: ", nearest_ranks(trace.ranks, ranks));
  HECATE_CHECK(top_k <= experts, "replay: top_k ", top_k, " of ", experts, " experts");
  const int64_t experts_each = trace.experts / experts;
  const int64_t sources = std::max<int64_t>(1, trace.ranks / ranks);
  const int64_t first_source = rank * trace.ranks / ranks;
  std::vector<int64_t> counts(static_cast<size_t>(experts), 0), remainders(counts.size());
  for (int64_t e = 0; e < trace.experts; ++e)
    for (int64_t r = first_source; r < first_source + sources; ++r)
      counts[static_cast<size_t>(e / experts_each)] +=
          trace.at(sample % trace.samples, r, layer % trace.layers, e);
  const int64_t sum = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  HECATE_CHECK(sum > 0, "replay: step ", sample % trace.samples, ", rank ", first_source,
               ", layer ", layer % trace.layers, " of the trace is empty");
  int64_t missing = tokens * top_k;
  for (size_t e = 0; e < counts.size(); ++e) {
    const int64_t share = counts[e] * tokens * top_k;
    remainders[e] = share % sum;
    counts[e] = std::min(tokens, share / sum);
    missing -= counts[e];
  }
  round_up(counts, remainders, missing, tokens);
  return counts;
}

std::unique_ptr<RoutingSource> make_routing_source(const std::string& rule,
                                                   const RoutingShape& shape) {
  const RoutingRule parsed = parse_routing_rule(rule);
  switch (parsed.kind) {
    case RoutingRule::Kind::learned:
      return nullptr;
    case RoutingRule::Kind::even:
      return std::make_unique<EvenRouting>(shape);
    case RoutingRule::Kind::zipf:
      return std::make_unique<ZipfRouting>(shape, parsed.exponent);
    case RoutingRule::Kind::replay:
      break;
  }
  LoadTrace trace = read_load_trace(parsed.file);
  try {
    scaled_counts(trace, 0, shape.rank, shape.ranks, 0, shape.experts, shape.experts, shape.top_k);
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(concat(parsed.file, ": ", error.what()));
  }
  return std::make_unique<ReplayRouting>(shape, std::move(trace));
}

}  // namespace hecate::models
