#include "sharding/balanced/bound.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <queue>
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

// What one node can keep of its rows (step 2).
struct Node {
  int64_t rows = 0, devices = 0, places = 0;
  int64_t inside = 0;           // rows that their own devices cannot keep
  std::vector<int64_t> own;     // to experts that have a holder here for sure
  std::vector<int64_t> wanted;  // to the others, falling
};

class Links {
 public:
  // @param any whatever the owners; ports are then left out.
  Links(const Problem& problem, int most, bool any) : problem_(problem) {
    const NodeMap& nodes = *problem.nodes;
    for (int n = 0; n < nodes.nodes(); ++n) {
      Node node;
      node.devices = std::ssize(nodes.members(n));
      node.places = node.devices * problem.slots;
      int64_t more = most;
      for (int e = 0; e < problem.experts(); ++e) {
        const int64_t rows = problem.rows(n, e);
        const bool here = nodes.node(problem.owner[at(e)]) == n;
        node.rows += rows;
        (here && !any ? node.own : node.wanted).push_back(rows);
        if (here && any) {
          ++node.places;
          ++more;
        }
      }
      const auto end = node.wanted.begin() + std::min(more, std::ssize(node.wanted));
      std::partial_sort(node.wanted.begin(), end, node.wanted.end(), std::greater<>());
      node.wanted.erase(end, node.wanted.end());
      owned_.push_back(any ? more - most : 0);
      nodes_.push_back(std::move(node));
    }
    if (!any && !problem.counts.empty()) count_inside();
  }

  // T but for compute: what `chunks` copies and devices of `level` rows allow.
  double seconds(int chunks, int64_t level) {
    double exchange = 0;
    for (size_t n = 0; n < nodes_.size(); ++n)
      exchange =
          std::max(exchange, exchange_of(nodes_[n], leaving(nodes_[n], owned_[n] + chunks, level)));
    const Model& model = *problem_.model;
    const auto& link = model.cost.topology.between;
    return model.cost.exchanges * exchange +
           exposed(link, chunks, model.cost.gather_bytes, model.hidden_gather_seconds) +
           exposed(link, chunks, model.cost.reduce_bytes, model.hidden_reduce_seconds);
  }

 private:
  void count_inside() {
    const auto experts = problem_.owner.size();
    std::vector<int64_t> others;
    for (int d = 0; d < problem_.nodes->devices(); ++d) {
      int64_t moving = 0;
      others.clear();
      for (size_t e = 0; e < experts; ++e) {
        if (problem_.owner[e] == d) continue;
        others.push_back(problem_.counts[at(d) * experts + e]);
        moving += others.back();
      }
      const auto kept =
          others.begin() + std::min(static_cast<int64_t>(problem_.slots), std::ssize(others));
      std::partial_sort(others.begin(), kept, others.end(), std::greater<>());
      moving = std::accumulate(others.begin(), kept, moving,
                               [](int64_t left, int64_t rows) { return left - rows; });
      nodes_[at(problem_.nodes->node(d))].inside += moving;
    }
  }

  int64_t leaving(const Node& node, int64_t experts, int64_t level) {
    int64_t kept = 0, whole = 0;
    rests_.clear();
    const auto increments = [&](int64_t rows) {
      whole += rows / level;
      if (rows % level > 0) rests_.push_back(rows % level);
    };
    for (int64_t rows : node.own) {
      kept += std::min(rows, level);
      if (rows > level) increments(rows - level);
    }
    const auto brought = std::min(experts, std::ssize(node.wanted));
    for (int64_t e = 0; e < brought; ++e) increments(node.wanted[static_cast<size_t>(e)]);
    kept += std::min(whole, node.places) * level;
    const auto left = std::clamp<int64_t>(node.places - whole, 0, std::ssize(rests_));
    if (left < std::ssize(rests_))
      std::nth_element(rests_.begin(), rests_.begin() + left, rests_.end(), std::greater<>());
    kept = std::accumulate(rests_.begin(), rests_.begin() + left, kept);
    return node.rows - std::min({node.rows, kept, node.devices * level});
  }

  // The least time in which `out` or more rows can leave and the others pass the ports.
  double exchange_of(const Node& node, int64_t out) const {
    const auto& topology = problem_.model->cost.topology;
    const double bytes = problem_.model->cost.row_bytes;
    const double link = bytes / topology.between.bytes_per_s;
    const double port = bytes / (topology.inside.bytes_per_s * static_cast<double>(node.devices));
    const auto inside = static_cast<double>(node.inside);
    const double best = std::max(static_cast<double>(out), inside * port / (link + port));
    const double crossing =
        topology.between.latency_s + std::max(best * link, (inside - best) * port);
    if (out > 0) return crossing;
    const double within =
        node.inside > 0
            ? std::min(topology.inside.latency_s, topology.between.latency_s) + inside * port
            : 0;
    return std::min(within, crossing);
  }

  static double exposed(const collectives::Link& link, int chunks, double bytes, double hidden) {
    if (chunks == 0) return 0;
    return std::max(0.0, link.latency_s + chunks * bytes / link.bytes_per_s - hidden);
  }

  const Problem& problem_;
  std::vector<Node> nodes_;
  std::vector<int64_t> owned_, rests_;
};

// T of every x in low .. high and k = chunks is at least `seconds`.
struct Range {
  double seconds = 0;
  int chunks = 0;
  int64_t low = 0, high = 0;
  bool operator<(const Range& other) const { return seconds > other.seconds; }  // least first
};

int most_chunks(const Problem& problem) {
  size_t largest = 0;
  for (int n = 0; n < problem.nodes->nodes(); ++n)
    largest = std::max(largest, problem.nodes->members(n).size());
  return static_cast<int>(
      std::min<int64_t>(problem.experts(), static_cast<int64_t>(largest) * problem.slots));
}

Range least_range(const Problem& problem, int64_t least, bool any) {
  const int most = most_chunks(problem);
  Links links(problem, most, any);
  std::priority_queue<Range> ranges;
  const auto push = [&](int chunks, int64_t low, int64_t high) {
    const double compute = static_cast<double>(low) * problem.model->cost.seconds_per_row;
    ranges.push({compute + links.seconds(chunks, high), chunks, low, high});
  };
  const int64_t all =
      std::accumulate(problem.node_rows.begin(), problem.node_rows.end(), int64_t{0});
  for (int k = 0; k <= most; ++k) push(k, least, std::max(least, all));
  for (int i = 0; i < kRanges; ++i) {
    const Range range = ranges.top();
    const auto width = static_cast<double>(range.high - range.low);
    if (width <= kRangeShare * static_cast<double>(range.low)) break;
    ranges.pop();
    const auto middle = static_cast<int64_t>(
        std::sqrt(static_cast<double>(range.low) * static_cast<double>(range.high)));
    const int64_t split = std::clamp(middle, range.low, range.high - 1);
    push(range.chunks, range.low, split);
    push(range.chunks, split + 1, range.high);
  }
  return ranges.top();
}

}  // namespace

Bound lower_bound(const Problem& problem) {
  Bound bound{.seconds = 0, .rows = least_rows(problem)};
  if (problem.nodes->nodes() < 2 || bound.rows == 0) {
    bound.seconds = static_cast<double>(bound.rows) * problem.model->cost.seconds_per_row;
    return bound;
  }
  const Range least = least_range(problem, bound.rows, false);
  bound.seconds = least.seconds;
  bound.chunks = least.chunks;
  return bound;
}

double lower_bound_any_owner(const Problem& problem) {
  const int64_t rows = least_rows(problem);
  if (problem.nodes->nodes() < 2 || rows == 0)
    return static_cast<double>(rows) * problem.model->cost.seconds_per_row;
  return least_range(problem, rows, true).seconds;
}

}  // namespace hecate::sharding::balanced
