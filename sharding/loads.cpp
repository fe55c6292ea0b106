#include "sharding/loads.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "runtime/base/error.h"

namespace hecate::sharding {

// A rule from measured loads to a forecast. It keeps no state but the forecast itself.
class Forecaster {
 public:
  virtual ~Forecaster() = default;
  // @param forecast of the step before, zeros at first; updated in place. @param dropped the step
  // that leaves the window, if one does. @param first nothing was recorded before.
  virtual void record(std::span<double> forecast, const StepLoads& newest, const StepLoads* dropped,
                      bool first) const = 0;
  // The forecast follows from the steps in the window alone.
  virtual bool windowed() const { return true; }
};

namespace {

// Version and the fields of the shape, the window, the steps recorded and kept.
constexpr size_t kHeader = 7;
constexpr int64_t kVersion = 1;

class SumOfWindow final : public Forecaster {
 public:
  void record(std::span<double> forecast, const StepLoads& newest, const StepLoads* dropped,
              bool) const override {
    for (size_t i = 0; i < forecast.size(); ++i)
      forecast[i] += static_cast<double>(newest.counts[i] -
                                         (dropped != nullptr ? dropped->counts[i] : int64_t{0}));
  }
};

class LastStep final : public Forecaster {
 public:
  void record(std::span<double> forecast, const StepLoads& newest, const StepLoads*,
              bool) const override {
    std::copy(newest.counts.begin(), newest.counts.end(), forecast.begin());
  }
};

class MovingAverage final : public Forecaster {
 public:
  explicit MovingAverage(double weight) : weight_(weight) {}
  void record(std::span<double> forecast, const StepLoads& newest, const StepLoads*,
              bool first) const override {
    const double weight = first ? 1.0 : weight_;
    for (size_t i = 0; i < forecast.size(); ++i)
      forecast[i] += weight * (static_cast<double>(newest.counts[i]) - forecast[i]);
  }
  bool windowed() const override { return false; }

 private:
  double weight_;
};

std::unique_ptr<const Forecaster> make_forecaster(const std::string& name) {
  if (name == "mean") return std::make_unique<SumOfWindow>();
  if (name == "last") return std::make_unique<LastStep>();
  if (name.starts_with("ema:")) {
    size_t used = 0;
    double weight = 0;
    try {
      weight = std::stod(name.substr(4), &used);
    } catch (const std::exception&) {
      used = 0;
    }
    HECATE_CHECK(used == name.size() - 4 && weight > 0 && weight <= 1, "load forecaster '", name,
                 "': expected ema:A with 0 < A <= 1");
    return std::make_unique<MovingAverage>(weight);
  }
  throw InvalidArgument(
      concat("load forecaster '", name, "' is unknown; known: mean, last, ema:A"));
}

// Spreads each expert's total over the sources, the first ones taking the remainder.
StepLoads spread(const StepLoads& from, int sources) {
  StepLoads to({.layers = from.shape.layers, .sources = sources, .experts = from.shape.experts});
  const auto experts = static_cast<size_t>(from.shape.experts);
  for (int l = 0; l < from.shape.layers; ++l)
    for (size_t e = 0; e < experts; ++e) {
      int64_t total = 0;
      for (size_t i = e; i < from.layer(l).size(); i += experts) total += from.layer(l)[i];
      for (int s = 0; s < sources; ++s)
        to.layer(l)[static_cast<size_t>(s) * experts + e] =
            total / sources + (s < total % sources ? 1 : 0);
    }
  return to;
}

std::vector<double> spread(std::span<const double> from, const LoadShape& shape, int sources) {
  const auto experts = static_cast<size_t>(shape.experts);
  const auto old_sources = static_cast<size_t>(shape.sources);
  const auto new_sources = static_cast<size_t>(sources);
  std::vector<double> to(from.size() / old_sources * new_sources);
  for (size_t l = 0; l < static_cast<size_t>(shape.layers); ++l)
    for (size_t e = 0; e < experts; ++e) {
      double total = 0;
      for (size_t s = 0; s < old_sources; ++s) total += from[(l * old_sources + s) * experts + e];
      for (size_t s = 0; s < new_sources; ++s)
        to[(l * new_sources + s) * experts + e] = total / sources;
    }
  return to;
}

}  // namespace

LoadTracker::LoadTracker(const LoadShape& shape, int window, const std::string& forecaster)
    : shape_(shape), window_(window), forecaster_(make_forecaster(forecaster)) {
  HECATE_CHECK(shape.layers > 0 && shape.sources > 0 && shape.experts > 0 && window > 0,
               "load tracker: ", shape.layers, " layers, ", shape.sources, " sources, ",
               shape.experts, " experts, window ", window, "; expected positive numbers");
  forecast_.resize(shape.size());
}

LoadTracker::~LoadTracker() = default;
LoadTracker::LoadTracker(LoadTracker&&) noexcept = default;
LoadTracker& LoadTracker::operator=(LoadTracker&&) noexcept = default;

void LoadTracker::record(const StepLoads& step) {
  HECATE_CHECK(step.shape == shape_ && step.counts.size() == shape_.size(),
               "load tracker: a step of ", step.shape.layers, " layers, ", step.shape.sources,
               " sources, ", step.shape.experts, " experts; expected ", shape_.layers, ", ",
               shape_.sources, ", ", shape_.experts);
  for (int64_t count : step.counts) HECATE_CHECK(count >= 0, "load tracker: count ", count);
  const bool full = history_.size() == static_cast<size_t>(window_);
  forecaster_->record(forecast_, step, full ? &history_.front() : nullptr, recorded_ == 0);
  if (full) {
    std::rotate(history_.begin(), history_.begin() + 1, history_.end());
    history_.back().counts = step.counts;
  } else {
    history_.push_back(step);
  }
  ++recorded_;
}

std::vector<double> LoadTracker::sum_of_last(int layer, size_t steps) const {
  std::vector<double> sums(static_cast<size_t>(shape_.experts));
  for (size_t s = history_.size() - std::min(steps, history_.size()); s < history_.size(); ++s) {
    const std::span<const int64_t> counts = history_[s].layer(layer);
    for (size_t i = 0; i < counts.size(); ++i)
      sums[i % sums.size()] += static_cast<double>(counts[i]);
  }
  return sums;
}

std::vector<double> LoadTracker::forecast_by_source(int layer) const {
  const std::span<const double> by_source = layer_forecast(layer);
  if (recorded_ == 0) return std::vector<double>(by_source.size(), 1.0);
  return {by_source.begin(), by_source.end()};
}

std::vector<double> LoadTracker::forecast(int layer) const {
  const std::span<const double> by_source = layer_forecast(layer);
  const auto experts = static_cast<size_t>(shape_.experts);
  if (recorded_ == 0) return std::vector<double>(experts, 1.0);
  std::vector<double> totals(experts);
  for (size_t i = 0; i < by_source.size(); i += experts)
    for (size_t e = 0; e < experts; ++e) totals[e] += by_source[i + e];
  return totals;
}

std::span<const double> LoadTracker::layer_forecast(int layer) const {
  HECATE_CHECK(layer >= 0 && layer < shape_.layers, "load tracker: layer ", layer, " of ",
               shape_.layers);
  const size_t size = static_cast<size_t>(shape_.sources) * static_cast<size_t>(shape_.experts);
  return std::span<const double>(forecast_).subspan(static_cast<size_t>(layer) * size, size);
}

std::vector<int64_t> LoadTracker::serialise() const {
  std::vector<int64_t> flat = {kVersion,
                               shape_.layers,
                               shape_.sources,
                               shape_.experts,
                               window_,
                               recorded_,
                               static_cast<int64_t>(history_.size())};
  for (const StepLoads& step : history_)
    flat.insert(flat.end(), step.counts.begin(), step.counts.end());
  for (double value : forecast_) flat.push_back(std::bit_cast<int64_t>(value));
  return flat;
}

void LoadTracker::restore(std::span<const int64_t> flat) {
  HECATE_CHECK(flat.size() >= kHeader && flat[0] == kVersion,
               "load tracker: not a saved history of version ", kVersion);
  HECATE_CHECK(flat[1] == shape_.layers && flat[3] == shape_.experts && flat[4] == window_,
               "load tracker: saved history has ", flat[1], " layers, ", flat[3],
               " experts, window ", flat[4], "; expected ", shape_.layers, ", ", shape_.experts,
               ", ", window_);
  LoadShape saved = shape_;
  saved.sources = static_cast<int>(flat[2]);
  HECATE_CHECK(flat[2] > 0 && flat[6] >= 0 && flat[6] <= window_ &&
                   flat.size() == kHeader + static_cast<size_t>(flat[6] + 1) * saved.size(),
               "load tracker: saved history of ", flat[6], " steps from ", flat[2], " sources has ",
               flat.size(), " numbers");
  const bool same = saved == shape_;
  std::vector<StepLoads> history;
  auto next = flat.begin() + kHeader;
  for (int64_t i = 0; i < flat[6]; ++i) {
    StepLoads step(saved);
    std::copy_n(next, saved.size(), step.counts.begin());
    next += static_cast<std::ptrdiff_t>(saved.size());
    history.push_back(same ? std::move(step) : spread(step, shape_.sources));
  }
  std::vector<double> forecast(saved.size());
  std::transform(next, flat.end(), forecast.begin(),
                 [](int64_t bits) { return std::bit_cast<double>(bits); });
  if (!same && forecaster_->windowed()) {
    forecast.assign(shape_.size(), 0.0);
    for (const StepLoads& step : history) forecaster_->record(forecast, step, nullptr, false);
  } else if (!same) {
    forecast = spread(forecast, saved, shape_.sources);
  }
  history_ = std::move(history);
  forecast_ = std::move(forecast);
  recorded_ = flat[5];
}

}  // namespace hecate::sharding
