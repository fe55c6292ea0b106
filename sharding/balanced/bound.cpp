#include "sharding/balanced/bound.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

namespace hecate::sharding::balanced {
namespace {

size_t at(int i) {
  return static_cast<size_t>(i);
}

int64_t divided_up(int64_t sum, int64_t parts) {
  return (sum + parts - 1) / parts;
}

int64_t least_rows(const Problem& problem) {
  const int64_t devices = problem.nodes->devices();
  std::vector<int64_t> loads(problem.owner.size());
  for (size_t i = 0; i < problem.node_rows.size(); ++i)
    loads[i % loads.size()] += problem.node_rows[i];
  const int64_t all = std::accumulate(loads.begin(), loads.end(), int64_t{0});
  if (all == 0) return 0;
  int64_t low =
      std::max(divided_up(all, devices), divided_up(*std::ranges::max_element(loads), devices));
  const int64_t holders = std::ssize(loads) + problem.slots * devices;
  const auto fits = [&](int64_t rows) {
    int64_t needed = 0;
    for (int64_t load : loads) needed += std::max<int64_t>(1, divided_up(load, rows));
    return needed <= holders;
  };
  int64_t high = std::max(low, *std::ranges::max_element(loads));
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (fits(middle))
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

// Rows that leave the busiest node by how many experts, beside those in `free`, it holds.
class Leaving {
 public:
  explicit Leaving(int most) : rows_(at(most) + 1) {}

  // @param rows the node sends in all. @param wanted per expert that may be chosen, falling.
  void add(int64_t rows, std::span<const int64_t> wanted) {
    for (size_t k = 0; k < rows_.size(); ++k) {
      rows_[k] = std::max(rows_[k], rows);
      if (k < wanted.size()) rows -= wanted[k];
    }
  }
  int64_t rows(int k) const { return rows_[at(k)]; }

 private:
  std::vector<int64_t> rows_;
};

double exposed(const collectives::Link& link, int chunks, double bytes, double hidden) {
  if (chunks == 0) return 0;
  return std::max(0.0, link.latency_s + chunks * bytes / link.bytes_per_s - hidden);
}

struct Choice {
  double seconds = 0;
  int chunks = 0;
};

Choice cheapest(const Model& model, const Leaving& leaving, int most) {
  const auto& link = model.cost.topology.between;
  Choice least;
  for (int k = 0; k <= most; ++k) {
    const int64_t rows = leaving.rows(k);
    const double exchange =
        rows == 0
            ? 0
            : link.latency_s + static_cast<double>(rows) * model.cost.row_bytes / link.bytes_per_s;
    const double seconds = model.cost.exchanges * exchange +
                           exposed(link, k, model.cost.gather_bytes, model.hidden_gather_seconds) +
                           exposed(link, k, model.cost.reduce_bytes, model.hidden_reduce_seconds);
    if (k == 0 || seconds < least.seconds) least = {seconds, k};
  }
  return least;
}

// Largest copies of any node.
int most_chunks(const Problem& problem) {
  size_t largest = 0;
  for (int n = 0; n < problem.nodes->nodes(); ++n)
    largest = std::max(largest, problem.nodes->members(n).size());
  return static_cast<int>(
      std::min<int64_t>(problem.experts(), static_cast<int64_t>(largest) * problem.slots));
}

// @param any the node may own whatever it likes, as many as it does.
Leaving leaving_rows(const Problem& problem, int most, bool any) {
  const NodeMap& nodes = *problem.nodes;
  Leaving leaving(most);
  std::vector<int64_t> wanted;
  for (int n = 0; n < nodes.nodes(); ++n) {
    wanted.clear();
    int64_t rows = 0, own = 0, owned = 0;
    for (int e = 0; e < problem.experts(); ++e) {
      const int64_t sent = problem.rows(n, e);
      const bool here = nodes.node(problem.owner[at(e)]) == n;
      rows += sent;
      owned += here ? 1 : 0;
      own += here ? sent : 0;
      if (any || !here) wanted.push_back(sent);
    }
    const int64_t kept = any ? owned : 0;
    const auto end = wanted.begin() + std::min(kept + most, std::ssize(wanted));
    std::partial_sort(wanted.begin(), end, wanted.end(), std::greater<>());
    if (any) own = std::accumulate(wanted.begin(), wanted.begin() + kept, int64_t{0});
    leaving.add(rows - own, {wanted.begin() + kept, end});
  }
  return leaving;
}

}  // namespace

Bound lower_bound(const Problem& problem) {
  Bound bound;
  bound.rows = least_rows(problem);
  bound.seconds = bound.seconds_any_owner =
      static_cast<double>(bound.rows) * problem.model->cost.seconds_per_row;
  if (problem.nodes->nodes() < 2) return bound;
  const int most = most_chunks(problem);
  bound.seconds += cheapest(*problem.model, leaving_rows(problem, most, false), most).seconds;
  bound.seconds_any_owner +=
      cheapest(*problem.model, leaving_rows(problem, most, true), most).seconds;
  return bound;
}

int bound_chunks(const Problem& problem) {
  const int most = most_chunks(problem);
  return cheapest(*problem.model, leaving_rows(problem, most, false), most).chunks;
}

}  // namespace hecate::sharding::balanced
