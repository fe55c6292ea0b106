#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "collectives/token_exchange.h"
#include "sharding/dispatch.h"
#include "sharding/exec/domain_lanes.h"

/// Takes the tokens of one MoE layer to the ranks of the domain that hold their experts, and back.
/// Source: arXiv 2502.02581, section 4.1.
namespace hecate::sharding::exec {

struct DispatcherOptions {
  /// Per rank, as Strategy::dispatch_groups; empty: the nodes.
  std::vector<int> groups;
  DispatchPolicy policy = DispatchPolicy::nearest;
  collectives::ExchangeAlgorithm algorithm = collectives::ExchangeAlgorithm::automatic;
  /// Rows of every holder, from what all ranks of the domain send; null: `policy` divides them.
  /// Pure: the ranks of a domain must answer alike.
  std::function<HolderRows(std::span<const int64_t> counts, const collectives::Placement&)> split =
      nullptr;
};

/// Rows of one way of the exchange since the last take: of this rank, and, the same on a domain's
/// ranks, of what bounds an exchange and the experts behind it in this domain.
struct ExchangeStatistics {
  int64_t rows_sent = 0;  ///< to other ranks
  int64_t rows_computed = 0;
  int64_t busiest_link_rows = 0;  ///< into or out of one node, the larger; summed over exchanges
  int64_t busiest_rank_rows = 0;  ///< computed by the rank with most; summed over exchanges

  ExchangeStatistics& operator+=(const ExchangeStatistics& other);
};

/// One layer's exchanges of one micro-batch at a time: exchange_counts, admit, plan, then any
/// number of dispatch and combine. Two orders of rows:
///   token side: this rank's kept choices by (holder, expert, token);
///   expert side: what this rank computes by (expert, source rank, token), which is global token
///   order inside an expert, since ranks hold consecutive tokens.
/// The methods marked "lane" block and are collectives: all ranks must call them in one order.
class TokenDispatcher {
 public:
  /// @param counts_size numbers that each rank contributes to exchange_counts, at least `experts`.
  TokenDispatcher(const DomainLanes& lanes, int64_t experts, int64_t counts_size,
                  const DispatcherOptions& options);

  /// Lane, of all domains. @param local this rank's choices per expert, before drops, then any
  ///   other counts.
  void exchange_counts(std::span<const int64_t> local);
  /// Decides what is dropped. Capacity is shared with the other domains.
  /// @param capacity choices that an expert may get of the step; negative: no limit.
  /// @param first whether this is the step's first micro-batch: no capacity is taken yet.
  void admit(int64_t capacity, bool first);
  /// Decides where every admitted token of the domain goes, the same on all its ranks.
  /// @param copies as in plan_dispatch.
  void plan(const collectives::Placement& placement, int64_t row_bytes,
            std::span<const int> copies = {});

  /// [counts_size] summed over all ranks.
  std::span<const int64_t> total() const { return total_; }
  /// [experts] choices that tokens before this rank's took of the step's capacity.
  std::span<int64_t> taken_before() { return before_; }
  /// [all ranks, experts] choices per source that were not dropped.
  std::span<const int64_t> kept() const { return kept_; }
  /// [places of the domain, experts] the same of the domain's ranks.
  std::span<const int64_t> domain_kept() const { return domain_kept_; }

  /// Rows of the token side.
  int64_t token_rows() const { return token_rows_; }
  /// Rows of the expert side, and where each expert's begin: [experts + 1].
  int64_t expert_rows() const { return expert_offsets_.back(); }
  std::span<const int64_t> expert_offsets() const { return expert_offsets_; }

  /// @param position [token_rows]: row by (expert, token) -> row of the token side.
  void token_order(std::span<int32_t> position) const;
  /// @param arrival [expert_rows]: row of the expert side -> row as received;
  /// @param back [expert_rows]: the inverse.
  void expert_order(std::span<int32_t> arrival, std::span<int32_t> back) const;

  /// Lane. Rows of the token side -> rows as received, packed by source.
  void dispatch(const void* rows, void* received) const;
  /// Lane. The way back.
  void combine(const void* received, void* rows) const;

  /// Of the last micro-batch; plan() has been called.
  const DispatchPlan& planned() const { return *plan_; }
  ExchangeStatistics take_statistics();

 private:
  void count_rows();

  DomainLanes lanes_;
  DispatcherOptions options_;
  int64_t experts_, counts_size_;
  std::vector<int64_t> counts_, total_, kept_;  // [all, C], [C], [all, E]
  std::vector<int64_t> taken_, before_;         // [E]
  std::vector<int64_t> domain_kept_;            // [places, E]
  std::optional<DispatchPlan> plan_;
  collectives::TokenPlan exchange_;
  int64_t row_bytes_ = 0, token_rows_ = 0;
  std::vector<int64_t> expert_offsets_;
  ExchangeStatistics statistics_;
};

}  // namespace hecate::sharding::exec
