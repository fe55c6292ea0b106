#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace hecate::sharding {

struct LoadShape {
  int layers = 0, sources = 0, experts = 0;
  size_t size() const {
    return static_cast<size_t>(layers) * static_cast<size_t>(sources) *
           static_cast<size_t>(experts);
  }
  bool operator==(const LoadShape&) const = default;
};

/// Assignments of tokens to experts in one step, per device that the tokens come from.
struct StepLoads {
  explicit StepLoads(const LoadShape& s) : shape(s), counts(s.size()) {}
  /// [sources, experts] of a layer.
  std::span<int64_t> layer(int l) { return {counts.data() + offset(l), layer_size()}; }
  std::span<const int64_t> layer(int l) const { return {counts.data() + offset(l), layer_size()}; }

  LoadShape shape;
  std::vector<int64_t> counts;  ///< [layers, sources, experts], >= 0

 private:
  size_t layer_size() const {
    return static_cast<size_t>(shape.sources) * static_cast<size_t>(shape.experts);
  }
  size_t offset(int l) const { return static_cast<size_t>(l) * layer_size(); }
};

class Forecaster;

/// The measured loads of the last steps and a forecast of the next one (arXiv 2502.02581,
/// section 4.3: the mean of the last w = 5). Deterministic: equal records give equal forecasts on
/// every rank.
class LoadTracker {
 public:
  /// @param forecaster `mean` (the sum over the window: exact), `last`, or `ema:A` (exponential
  ///   moving average, A in (0, 1] the newest step's weight).
  /// @param window steps kept, >= 1.
  /// @throws InvalidArgument for other names (listing these) or sizes that are not positive.
  explicit LoadTracker(const LoadShape& shape, int window = 5,
                       const std::string& forecaster = "mean");

  ~LoadTracker();
  LoadTracker(LoadTracker&&) noexcept;
  LoadTracker& operator=(LoadTracker&&) noexcept;

  /// @throws InvalidArgument for another shape or a negative count.
  void record(const StepLoads& step);

  /// Per expert of a layer, over all sources; tokens, up to a common scale. Before the first record
  /// all are equal.
  std::vector<double> forecast(int layer) const;
  /// [sources, experts] of a layer.
  std::vector<double> forecast_by_source(int layer) const;

  /// Per expert of a layer, over all sources and the last `steps` of history() (fewer where there
  /// are fewer). Zeros before the first record.
  std::vector<double> sum_of_last(int layer, size_t steps) const;

  const LoadShape& shape() const { return shape_; }
  int window() const { return window_; }
  /// Steps recorded since the start of training.
  int64_t recorded() const { return recorded_; }
  /// The last steps, oldest first; at most `window`.
  std::span<const StepLoads> history() const { return history_; }

  /// Everything, for a checkpoint.
  std::vector<int64_t> serialise() const;
  /// Takes the history of a tracker with the same layers, experts, window and forecaster, which
  /// then goes on bit for bit. From another number of sources, each expert's count is spread evenly
  /// over the sources; totals stay.
  /// @throws InvalidArgument naming what differs; the tracker is then unchanged.
  void restore(std::span<const int64_t> flat);

 private:
  std::span<const double> layer_forecast(int layer) const;

  LoadShape shape_;
  int window_;
  std::unique_ptr<const Forecaster> forecaster_;
  std::vector<StepLoads> history_;
  std::vector<double> forecast_;  // [layers, sources, experts]
  int64_t recorded_ = 0;
};

}  // namespace hecate::sharding
