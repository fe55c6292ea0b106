#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "models/config.h"
#include "models/optimizer.h"

/// The coordinate check of muP: does a model's inside keep its size when it gets wider? Source:
/// Yang et al. 2022, arXiv:2203.03466, appendix D.1.
namespace hecate::launcher {

/// What is measured, each a mean of absolute values over elements, layers and seeds.
enum class Coordinate : uint8_t {
  embedding,  ///< the embedding's output, multiplied
  attention,  ///< attention branches before the residual multiplier
  experts,    ///< feed-forward branches before it
  logits,     ///< how far logits have moved since step 0
};
inline constexpr size_t kCoordinates = 4;
std::string_view name_of(Coordinate coordinate);

struct CoordinateOptions {
  models::ModelConfig model;  ///< the narrowest, which is the base model; vocabulary known
  models::RouterConfig router;
  models::OptimizerConfig optimizer;
  bool mup = true;  ///< false: the same models with model.init_std and one rate for all
  bool wide_experts = true;
  std::vector<int64_t> widths = {1, 2, 4, 8};
  int64_t seeds = 5, steps = 10, sequences = 4;
  double rate = 0.01;
  int threads = 1;
};

/// `model` with `factor` times the width: d_model, heads (of the same size), the latent rank, dense
/// layers and, if `wide_experts`, experts. Its muP base is `model`.
models::ModelConfig widened(const models::ModelConfig& model, int64_t factor, bool wide_experts);

struct CoordinateCheck {
  std::vector<int64_t> widths;
  /// [coordinate][width][step], steps 0 (before the first update) to `steps`.
  std::array<std::vector<std::vector<double>>, kCoordinates> values;

  /// Least-squares slope of log value over log width at a step: 0 is flat, 1 grows as the width
  /// does. 0 where a value is 0 (logits at step 0).
  double growth(Coordinate coordinate, size_t step) const;
  /// The growth that is furthest from 0, over all steps.
  double worst_growth(Coordinate coordinate) const;
};

/// Trains every width from every seed on one batch of its own: tokens and targets follow from the
/// seed, the same for all widths. @throws InvalidArgument if a model is impossible.
CoordinateCheck check_coordinates(const CoordinateOptions& options);

}  // namespace hecate::launcher
