#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "collectives/communicator.h"
#include "collectives/topology.h"

/// Rows of tokens to the ranks that hold their experts, and back.
namespace hecate::collectives {

enum class ExchangeAlgorithm : uint8_t {
  flat,          ///< one message per pair of ranks
  hierarchical,  ///< gathered inside the node, one message per pair of nodes, spread inside
  automatic,     ///< the one of least modelled time
};
std::string_view name_of(ExchangeAlgorithm algorithm);
/// @throws InvalidArgument naming the known ones ("auto" is automatic).
ExchangeAlgorithm exchange_algorithm(std::string_view name);

/// Who sends how many rows to whom, and how. Equal on all ranks.
struct TokenPlan {
  ExchangeAlgorithm algorithm = ExchangeAlgorithm::flat;
  int ranks = 0;
  std::vector<int64_t> rows;  ///< [R,R]: from rank s to rank d at s * R + d
  std::vector<int> node_of;
  double modelled_seconds = 0;

  int64_t count(int source, int destination) const {
    return rows[static_cast<size_t>(source) * static_cast<size_t>(ranks) +
                static_cast<size_t>(destination)];
  }
};

/// all[s, d] = what rank s gives as rows[d]. All ranks must call.
/// @param rows [R]. @param all [R,R].
Work gather_row_counts(const Communicator& communicator, std::span<const int64_t> rows,
                       std::span<int64_t> all);

/// Pure. @param rows [R,R], >= 0, any of them zero. @param row_bytes what auto weighs with.
/// @throws InvalidArgument when the sizes disagree or a count is negative.
TokenPlan plan_token_exchange(std::span<const int64_t> rows, int64_t row_bytes,
                              const Topology& topology, ExchangeAlgorithm algorithm);

/// Moves rows along the plan. All ranks must call. @param in this rank's rows, packed by
/// destination; @param out packed by source. Not overlapping. @param row_bytes of one row (any
/// type). Also the backward of combine.
Work dispatch_rows(const Communicator& communicator, const TokenPlan& plan, const void* in,
                   void* out, int64_t row_bytes);
/// The way back: @param in as dispatch_rows left `out`; @param out as its `in`. Also the backward
/// of dispatch.
Work combine_rows(const Communicator& communicator, const TokenPlan& plan, const void* in,
                  void* out, int64_t row_bytes);

}  // namespace hecate::collectives
