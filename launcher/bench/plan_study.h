#pragma once
#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "launcher/bench/load_samples.h"
#include "sharding/balanced/bound.h"

namespace hecate::launcher {

/// Two nodes' worth of the clusters of arXiv 2502.02581, section 5, with one layer of its model
/// gpt-moe-s (d_model 768, expert hidden 1536, bf16 on the wire, gradients f32): `a` (8 V100 to a
/// node, 300 GB/s inside, 100 Gbit/s between) and `b` (8 A100, 600 GB/s, 400 Gbit/s). Experts run
/// at half of the devices' peak. @throws InvalidArgument for another name.
sharding::LayerCost study_cost(const std::string& cluster, int devices, int devices_per_node);

struct StudyOptions {
  std::string planner = "balanced";  ///< ep, paper or balanced
  sharding::balanced::Model model;
  int t = 8;               ///< of algorithm 1; what model_hiding hides
  int m = 2;               ///< extra copies per device
  int window = 5;          ///< samples that the forecast is the mean of
  int reshard_every = 0;   ///< samples between new owners (balanced); 0: even ones stay
  bool correct = true;     ///< balanced: corrections after the gate
  bool hindsight = false;  ///< forecasts are the sample itself: what is lost without their misses
  int stride = 1;          ///< every how many samples a figure is taken
};

/// One layer in one sample, from the true counts.
struct StudyFigure {
  int sample = 0, layer = 0;
  double balance = 1;  ///< rows of the busiest device over the mean
  sharding::balanced::LayerTime time;
  sharding::balanced::Bound bound;
  double bound_any_owner = 0;
  double mean_rows = 0;
  int64_t crossing_rows = 0;  ///< from node to node, one way
  int added = 0, evicted = 0;
  double correction_seconds = 0;  ///< exposed gather of a correction, part of `time`
};

/// Plans every layer of every sample from the samples before it and judges the plan by the sample.
std::vector<StudyFigure> study(const LoadSamples& loads, const StudyOptions& options);

struct Spread {
  double median = 0, p90 = 0, worst = 0;
};
Spread spread(std::vector<double> values);
Spread spread(const std::vector<StudyFigure>& figures,
              const std::function<double(const StudyFigure&)>& value);

}  // namespace hecate::launcher
