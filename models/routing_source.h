#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/tensor/tensor_view.h"

namespace hecate::models {

/// Where a token lies in its step.
struct TokenRange {
  int64_t step = 0;
  int64_t first_token = 0;   ///< in the global batch
  int64_t local_token = 0;   ///< among this rank's tokens of the step
  int64_t local_tokens = 0;  ///< this rank's tokens of the step
};

/// Chooses experts in place of the learned router, so that imbalance is controlled. The weights
/// still come from the router's logits. Deterministic.
class RoutingSource {
 public:
  virtual ~RoutingSource() = default;
  /// Fills experts [T,K]: K different experts per token of the range.
  virtual void assign(int64_t layer, const TokenRange& range, View<int32_t> experts) const = 0;
};

/// Recorded loads [sample][rank][layer][expert].
struct LoadTrace {
  int64_t samples = 0, ranks = 0, layers = 0, experts = 0;
  std::vector<uint32_t> counts;
  uint32_t at(int64_t sample, int64_t rank, int64_t layer, int64_t expert) const {
    return counts[static_cast<size_t>(((sample * ranks + rank) * layers + layer) * experts +
                                      expert)];
  }
};

/// Reads a NumPy array of uint16 or uint32 with four dimensions.
/// @throws IoError, InvalidArgument naming the file and what was found.
LoadTrace read_load_trace(const std::string& path);

/// The counts of one rank of `ranks`, scaled to `tokens * top_k` choices over `experts` experts.
/// Fewer experts or ranks: neighbours are summed; more ranks: neighbours share a row; layers and
/// samples repeat from the first. Rounding by largest remainder (lower index first); an expert gets
/// at most `tokens`, what is above goes to the others in the same order.
/// @param sample the step counted from 0. @param layer counted among the layers with experts.
/// @throws InvalidArgument where the trace does not divide into that shape or the row is empty.
std::vector<int64_t> scaled_counts(const LoadTrace& trace, int64_t sample, int64_t rank,
                                   int64_t ranks, int64_t layer, int64_t experts, int64_t tokens,
                                   int64_t top_k);

struct RoutingShape {
  int64_t experts = 0, top_k = 0;
  int64_t rank = 0, ranks = 1;
  uint64_t seed = 0;
  /// The layers that have experts, in order: a trace counts only those. Empty: all.
  std::vector<int64_t> moe_layers = {};
};

/// `learned` (null), `even` (token t's choices are consecutive experts, round robin), `zipf:S`
/// (drawn without replacement with weights 1/(i+1)^S), `replay:FILE` (a recorded load).
/// @throws as parse_routing_rule; errors of the recorded file.
std::unique_ptr<RoutingSource> make_routing_source(const std::string& rule,
                                                   const RoutingShape& shape);

}  // namespace hecate::models
