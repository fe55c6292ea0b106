#include "sharding/exec/token_dispatcher.h"

#include <algorithm>
#include <utility>

#include "runtime/base/error.h"

namespace hecate::sharding::exec {

ExchangeStatistics& ExchangeStatistics::operator+=(const ExchangeStatistics& other) {
  rows_sent += other.rows_sent;
  rows_computed += other.rows_computed;
  busiest_link_rows += other.busiest_link_rows;
  busiest_rank_rows += other.busiest_rank_rows;
  return *this;
}

TokenDispatcher::TokenDispatcher(const DomainLanes& lanes, int64_t experts, int64_t counts_size,
                                 const DispatcherOptions& options)
    : lanes_(lanes),
      options_(options),
      experts_(experts),
      counts_size_(counts_size),
      counts_(static_cast<size_t>(lanes.counts.size() * counts_size)),
      total_(static_cast<size_t>(counts_size)),
      kept_(static_cast<size_t>(lanes.counts.size() * experts)),
      taken_(static_cast<size_t>(experts)),
      before_(static_cast<size_t>(experts)),
      domain_kept_(static_cast<size_t>(lanes.size() * experts)),
      expert_offsets_(static_cast<size_t>(experts) + 1) {
  HECATE_CHECK(counts_size >= experts, "token dispatcher: ", counts_size, " counts for ", experts,
               " experts");
  if (options_.groups.empty()) options_.groups = lanes_.topology.node_of;
}

void TokenDispatcher::exchange_counts(std::span<const int64_t> local) {
  HECATE_CHECK(std::ssize(local) == counts_size_, "token dispatcher: ", local.size(),
               " counts, expected ", counts_size_);
  lanes_.counts.all_gather(local.data(), counts_.data(), counts_size_, DType::i64).wait();
  std::ranges::fill(total_, 0);
  for (size_t i = 0; i < counts_.size(); ++i) total_[i % total_.size()] += counts_[i];
}

// Ranks hold consecutive tokens, so an expert's capacity goes to the lower ranks first.
void TokenDispatcher::admit(int64_t capacity, bool first) {
  if (first) std::ranges::fill(taken_, 0);
  for (int rank = 0; rank < lanes_.counts.size(); ++rank) {
    if (rank == lanes_.counts.rank()) std::ranges::copy(taken_, before_.begin());
    for (int64_t e = 0; e < experts_; ++e) {
      const int64_t chosen = counts_[static_cast<size_t>(rank * counts_size_ + e)];
      int64_t& taken = taken_[static_cast<size_t>(e)];
      const int64_t kept = capacity < 0 ? chosen : std::min(chosen, capacity - taken);
      kept_[static_cast<size_t>(rank * experts_ + e)] = kept;
      taken += kept;
    }
  }
  // Places are in the order of ranks, so an expert's rows stay in global token order.
  for (size_t place = 0; place < lanes_.members.size(); ++place)
    std::copy_n(kept_.begin() + lanes_.members[place] * experts_, experts_,
                domain_kept_.begin() + static_cast<int64_t>(place) * experts_);
}

void TokenDispatcher::plan(const collectives::Placement& placement, int64_t row_bytes,
                           std::span<const int> copies) {
  plan_ = options_.split
              ? plan_dispatch_to(domain_kept_, placement, options_.groups,
                                 options_.split(domain_kept_, placement))
              : plan_dispatch(domain_kept_, placement, options_.groups, options_.policy, copies);
  row_bytes_ = row_bytes;
  exchange_ = collectives::plan_token_exchange(plan_->rows_between(), row_bytes, lanes_.topology,
                                               options_.algorithm);
  const int me = lanes_.rank(), places = lanes_.size();
  token_rows_ = 0;
  for (int64_t e = 0; e < experts_; ++e)
    token_rows_ += domain_kept_[static_cast<size_t>(me * experts_ + e)];
  expert_offsets_.front() = 0;
  for (int e = 0; e < static_cast<int>(experts_); ++e) {
    int64_t rows = 0;
    for (int source = 0; source < places; ++source) rows += plan_->rows(source, e, me);
    expert_offsets_[static_cast<size_t>(e) + 1] = expert_offsets_[static_cast<size_t>(e)] + rows;
  }
  count_rows();
}

void TokenDispatcher::count_rows() {
  const int me = lanes_.rank(), ranks = lanes_.size();
  std::vector<int64_t> in(static_cast<size_t>(lanes_.topology.nodes())), out(in), computed;
  for (int to = 0; to < ranks; ++to) {
    int64_t sum = 0;
    for (int from = 0; from < ranks; ++from) {
      const int64_t rows = plan_->rows_between(from, to);
      const auto source = static_cast<size_t>(lanes_.topology.node_of[static_cast<size_t>(from)]);
      const auto target = static_cast<size_t>(lanes_.topology.node_of[static_cast<size_t>(to)]);
      sum += rows;
      if (source == target) continue;
      out[source] += rows;
      in[target] += rows;
    }
    computed.push_back(sum);
  }
  statistics_ += {.rows_sent = token_rows_ - plan_->rows_between(me, me),
                  .rows_computed = expert_rows(),
                  .busiest_link_rows = std::max(std::ranges::max(in), std::ranges::max(out)),
                  .busiest_rank_rows = std::ranges::max(computed)};
}

void TokenDispatcher::token_order(std::span<int32_t> position) const {
  const int me = lanes_.rank();
  std::vector<int64_t> next(static_cast<size_t>(lanes_.size()), 0);
  for (int d = 1; d < lanes_.size(); ++d)
    next[static_cast<size_t>(d)] =
        next[static_cast<size_t>(d) - 1] + plan_->rows_between(me, d - 1);
  size_t row = 0;
  for (int e = 0; e < static_cast<int>(experts_); ++e)
    for (const DispatchPiece& piece : plan_->pieces(me, e))
      for (int64_t i = 0; i < piece.rows; ++i)
        position[row++] = static_cast<int32_t>(next[static_cast<size_t>(piece.holder)]++);
}

void TokenDispatcher::expert_order(std::span<int32_t> arrival, std::span<int32_t> back) const {
  const int me = lanes_.rank();
  std::vector<int64_t> next(expert_offsets_.begin(), expert_offsets_.end() - 1);
  size_t row = 0;
  for (int source = 0; source < lanes_.size(); ++source)
    for (int e = 0; e < static_cast<int>(experts_); ++e)
      for (int64_t i = plan_->rows(source, e, me); i > 0; --i) {
        const int64_t place = next[static_cast<size_t>(e)]++;
        arrival[static_cast<size_t>(place)] = static_cast<int32_t>(row);
        back[row++] = static_cast<int32_t>(place);
      }
}

void TokenDispatcher::dispatch(const void* rows, void* received) const {
  collectives::dispatch_rows(lanes_.dispatch, exchange_, rows, received, row_bytes_).wait();
}

void TokenDispatcher::combine(const void* received, void* rows) const {
  collectives::combine_rows(lanes_.dispatch, exchange_, received, rows, row_bytes_).wait();
}

ExchangeStatistics TokenDispatcher::take_statistics() {
  return std::exchange(statistics_, {});
}

}  // namespace hecate::sharding::exec
