#include "launcher/bench/load_samples.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/base/rng.h"
#include "runtime/io/npy.h"

namespace hecate::launcher {
namespace {

constexpr double kRedrawn = 1.0 / 16;
constexpr double kBurstEvery = 0.1;
constexpr double kBurstFactor = 5, kBurstShare = 0.05;

template <class T>
void copy_counts(const io::NpyFile& file, LoadSamples& loads) {
  const std::span<const T> values = file.values<T>();
  size_t i = 0;
  const auto layers = static_cast<size_t>(loads.layers),
             experts = static_cast<size_t>(loads.experts),
             sources = static_cast<size_t>(loads.sources);
  for (size_t sample = 0; sample < static_cast<size_t>(loads.samples); ++sample)
    for (size_t s = 0; s < sources; ++s)
      for (size_t l = 0; l < layers; ++l)
        for (size_t e = 0; e < experts; ++e)
          loads.counts[((sample * layers + l) * sources + s) * experts + e] =
              static_cast<int64_t>(values[i++]);
}

class Popularity {
 public:
  Popularity(const std::string& kind, int experts, uint64_t seed)
      : rng_(seed, stream_of("synthetic loads")), weights_(static_cast<size_t>(experts)) {
    std::string name = kind;
    if (name.ends_with(":burst")) {
      bursts_ = true;
      name.resize(name.size() - 6);
    }
    const size_t colon = name.find(':');
    char* end = nullptr;
    if (colon != std::string::npos) parameter_ = std::strtod(name.c_str() + colon + 1, &end);
    zipf_ = name.starts_with("zipf:");
    HECATE_CHECK(
        (zipf_ || name.starts_with("dirichlet:")) && end != nullptr && *end == 0 && parameter_ > 0,
        "synthetic loads '", kind, "': expected zipf:S or dirichlet:A, then perhaps :burst");
    for (size_t i = 0; i < weights_.size(); ++i)
      weights_[i] = zipf_ ? std::pow(static_cast<double>(i + 1), -parameter_) : gamma();
    for (size_t i = weights_.size(); zipf_ && i > 1; --i)
      std::swap(weights_[i - 1], weights_[rng_.below(draws_++, i)]);
  }

  // The next sample's cumulative shares.
  std::vector<double> next() {
    std::vector<double> weights = weights_;
    const double all = std::accumulate(weights.begin(), weights.end(), 0.0);
    if (bursts_ && uniform() < kBurstEvery) {
      double& burst = weights[rng_.below(draws_++, weights.size())];
      burst = kBurstFactor * burst + kBurstShare * all;
    }
    drift();
    std::partial_sum(weights.begin(), weights.end(), weights.begin());
    for (double& weight : weights) weight /= weights.back();
    return weights;
  }
  double uniform() { return rng_.uniform(draws_++); }

 private:
  double gamma() {  // of shape A: Marsaglia and Tsang, raised for A < 1
    const double shape = parameter_ + 1, d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
    while (true) {
      const double u = std::max(uniform(), 1e-300);
      const double x = std::sqrt(-2 * std::log(u)) * std::cos(2 * 3.14159265358979 * uniform());
      const double v = std::pow(1 + c * x, 3);
      if (v > 0 && std::log(std::max(uniform(), 1e-300)) < x * x / 2 + d - d * v + d * std::log(v))
        return std::max(1e-9, d * v * std::pow(std::max(uniform(), 1e-300), 1 / parameter_));
    }
  }
  void drift() {
    for (double& weight : weights_) {
      if (uniform() >= kRedrawn) continue;
      if (zipf_)
        std::swap(weight, weights_[rng_.below(draws_++, weights_.size())]);
      else
        weight = gamma();
    }
  }

  CounterRng rng_;
  uint64_t draws_ = 0;
  std::vector<double> weights_;
  double parameter_ = 0;
  bool zipf_ = false, bursts_ = false;
};

}  // namespace

LoadSamples read_load_samples(const std::filesystem::path& path) {
  const io::NpyFile file(path);
  const auto& shape = file.shape();
  HECATE_CHECK(shape.size() == 4 && (file.type() == "<u2" || file.type() == "<u4"), path.string(),
               ": type ", file.type(), " with ", shape.size(),
               " dimensions; expected a load trace, u2 or u4 [sample, source, layer, expert]");
  LoadSamples loads{.samples = static_cast<int>(shape[0]),
                    .layers = static_cast<int>(shape[2]),
                    .sources = static_cast<int>(shape[1]),
                    .experts = static_cast<int>(shape[3]),
                    .counts = {}};
  loads.counts.resize(static_cast<size_t>(shape[0] * shape[1] * shape[2] * shape[3]));
  file.type() == "<u2" ? copy_counts<uint16_t>(file, loads) : copy_counts<uint32_t>(file, loads);
  return loads;
}

LoadSamples synthetic_loads(const std::string& kind, int samples, int layers, int sources,
                            int experts, int64_t rows, uint64_t seed) {
  LoadSamples loads{
      .samples = samples, .layers = layers, .sources = sources, .experts = experts, .counts = {}};
  loads.counts.resize(static_cast<size_t>(samples) * static_cast<size_t>(layers) *
                      static_cast<size_t>(sources) * static_cast<size_t>(experts));
  for (int l = 0; l < layers; ++l) {
    Popularity popularity(kind, experts, seed + static_cast<uint64_t>(l));
    for (int sample = 0; sample < samples; ++sample) {
      const std::vector<double> shares = popularity.next();
      for (int s = 0; s < sources; ++s) {
        int64_t* counts = loads.counts.data() + (loads.at(sample, l).data() - loads.counts.data()) +
                          int64_t{s} * experts;
        for (int64_t row = 0; row < rows; ++row)
          ++counts[std::ranges::lower_bound(shares, popularity.uniform()) - shares.begin()];
      }
    }
  }
  return loads;
}

}  // namespace hecate::launcher
