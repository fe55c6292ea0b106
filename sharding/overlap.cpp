#include "sharding/overlap.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "runtime/base/error.h"

namespace hecate::sharding {
namespace {

// Of the slowest kind of link that a copy to every device uses; 0 where none is used.
double bandwidth(const collectives::Topology& topology) {
  std::vector<int> ranks_of(static_cast<size_t>(topology.nodes()));
  for (int node : topology.node_of) ++ranks_of[static_cast<size_t>(node)];
  double slowest = 0;
  if (topology.nodes() > 1) slowest = topology.between.bytes_per_s;
  if (*std::max_element(ranks_of.begin(), ranks_of.end()) > 1)
    slowest =
        slowest > 0 ? std::min(slowest, topology.inside.bytes_per_s) : topology.inside.bytes_per_s;
  return slowest;
}

int degree(double seconds, double bytes_per_s, double bytes, int experts) {
  if (bytes_per_s == 0 || bytes == 0) return experts;
  // A quotient that is a whole number but for rounding counts as that number.
  const double fit = std::floor(seconds * bytes_per_s / bytes * (1 + 1e-12));
  return static_cast<int>(std::min(fit, static_cast<double>(experts)));
}

void check(const CapacityInputs& in) {
  HECATE_CHECK(in.budget_bytes >= 0 && in.fixed_bytes >= 0 && in.parameter_chunk_bytes >= 0 &&
                   in.gradient_chunk_bytes >= 0,
               "memory capacity: budget ", in.budget_bytes, ", fixed ", in.fixed_bytes,
               ", parameters ", in.parameter_chunk_bytes, ", gradients ", in.gradient_chunk_bytes,
               " bytes; expected 0 or more");
  HECATE_CHECK(in.layers > 0 && in.experts > 0 && in.prefetch_depth >= 0 && in.reduce_depth >= 0,
               "memory capacity: ", in.layers, " layers of ", in.experts,
               " experts, prefetch depth ", in.prefetch_depth, ", reduce depth ", in.reduce_depth);
  HECATE_CHECK(in.budget_bytes >= in.fixed_bytes, "memory budget of ", in.budget_bytes,
               " bytes per device: ", in.fixed_bytes - in.budget_bytes,
               " bytes are missing for what is there without any materialized expert (",
               in.fixed_bytes, " bytes); a budget of ", in.fixed_bytes, " bytes fits with m = 0, ",
               in.fixed_bytes + in.bytes(1), " bytes with m = 1");
}

int largest_fit(const CapacityInputs& in) {
  const int64_t one = in.bytes(1);
  if (one == 0) return in.experts;
  return static_cast<int>(std::min<int64_t>((in.budget_bytes - in.fixed_bytes) / one, in.experts));
}

}  // namespace

double two_digits(double value) {
  if (value <= 0) return 0;
  const double scale = std::pow(10.0, std::floor(std::log10(value)) - 1);
  return std::round(value / scale) * scale;
}

OverlapInputs quantised(OverlapInputs inputs) {
  inputs.topology = collectives::quantised(std::move(inputs.topology));
  inputs.forward_seconds = two_digits(inputs.forward_seconds);
  inputs.backward_seconds = two_digits(inputs.backward_seconds);
  inputs.dense_share = std::min(std::round(inputs.dense_share * 100) / 100, 0.99);
  return inputs;
}

OverlapDegree overlap_degree(const OverlapInputs& in, int experts) {
  collectives::check(in.topology);
  HECATE_CHECK(experts > 0 && in.forward_seconds >= 0 && in.backward_seconds >= 0 &&
                   in.gather_bytes >= 0 && in.reduce_bytes >= 0,
               "overlap degree: ", in.forward_seconds, " s forward, ", in.backward_seconds,
               " s backward, ", in.gather_bytes, " and ", in.reduce_bytes, " bytes, ", experts,
               " experts");
  HECATE_CHECK(in.dense_share >= 0 && in.dense_share < 1, "overlap degree: dense traffic takes ",
               in.dense_share, " of the links, expected 0 <= share < 1");
  const double left = bandwidth(in.topology) * (1 - in.dense_share);
  const double backward_bytes = in.reduce_bytes + (in.gathers_in_backward ? in.gather_bytes : 0.0);
  return {.forward = degree(in.forward_seconds, left, in.gather_bytes, experts),
          .backward = degree(in.backward_seconds, left, backward_bytes, experts)};
}

int CapacityInputs::parameter_layers() const {
  return release ? std::min(layers, 1 + prefetch_depth) : layers;
}

int CapacityInputs::gradient_layers() const {
  return accumulate && !release ? layers : std::min(layers, 1 + reduce_depth);
}

int64_t CapacityInputs::bytes(int m) const {
  return m *
         (parameter_layers() * parameter_chunk_bytes + gradient_layers() * gradient_chunk_bytes);
}

int memory_capacity(const CapacityInputs& inputs) {
  check(inputs);
  return largest_fit(inputs);
}

void check_capacity(const CapacityInputs& inputs, int m) {
  check(inputs);
  HECATE_CHECK(m >= 0, "memory capacity: m = ", m, ", expected 0 or more");
  const int64_t needed = inputs.fixed_bytes + inputs.bytes(m);
  HECATE_CHECK(needed <= inputs.budget_bytes, "memory budget of ", inputs.budget_bytes,
               " bytes per device: m = ", m, " needs ", needed, ", ", needed - inputs.budget_bytes,
               " bytes more; m = ", largest_fit(inputs), " fits");
}

}  // namespace hecate::sharding
