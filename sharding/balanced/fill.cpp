#include "sharding/balanced/fill.h"

#include <algorithm>
#include <numeric>
#include <queue>
#include <set>
#include <utility>

namespace hecate::sharding::balanced {
namespace {

size_t at(int i) {
  return static_cast<size_t>(i);
}

int64_t divided_up(int64_t sum, int64_t parts) {
  return (sum + parts - 1) / parts;
}

struct Item {
  int64_t rows;
  int expert;
  bool missing;  // no device of the group holds it: it needs a place even where none has room
  bool operator<(const Item& other) const {  // of equal rows the lower index first
    return rows != other.rows ? rows < other.rows : expert > other.expert;
  }
};

// Levels a group of devices up to `level` rows each.
class Group {
 public:
  Group(Draft& draft, std::vector<int64_t>& load, int64_t level)
      : draft_(draft), load_(load), level_(level) {}

  // An expert of this owner, which is in the group. To be called by rising rows.
  void keep(int expert, int64_t rows, int owner) {
    const int64_t kept = std::clamp<int64_t>(level_ - load_[at(owner)], 0, rows);
    load_[at(owner)] += kept;
    if (kept < rows) items_.push({rows - kept, expert, false});
  }
  void bring(int expert, int64_t rows) { items_.push({rows, expert, true}); }
  void take(const Item& item) { items_.push(item); }

  // What found no device.
  std::vector<Item> place(std::span<const int> devices) {
    std::vector<Item> left;
    for (int d : devices)
      if (draft_.free(d) > 0) room_.insert({level_ - load_[at(d)], d});
    while (!items_.empty() && !room_.empty()) {
      const Item item = items_.top();
      items_.pop();
      const auto device = device_for(item);
      const int64_t rows =
          device == room_.end() ? 0 : std::clamp<int64_t>(device->first, 0, item.rows);
      if (device == room_.end() || (rows == 0 && !item.missing)) {
        left.push_back(item);
        continue;
      }
      const auto [room, d] = *device;
      draft_.add(item.expert, d);
      load_[at(d)] += rows;
      room_.erase(device);
      if (draft_.free(d) > 0) room_.insert({room - rows, d});
      if (rows < item.rows) items_.push({item.rows - rows, item.expert, false});
    }
    for (; !items_.empty(); items_.pop()) left.push_back(items_.top());
    return left;
  }

 private:
  using Rooms = std::set<std::pair<int64_t, int>>;

  // The least room that takes the item whole, else the most room.
  Rooms::iterator device_for(const Item& item) {
    auto best = room_.lower_bound({item.rows, 0});
    const auto holds = [&](Rooms::iterator it) {
      return draft_.placement().holds(item.expert, it->second);
    };
    while (best != room_.end() && holds(best)) ++best;
    if (best != room_.end()) return best;
    for (auto it = room_.rbegin(); it != room_.rend(); ++it)
      if (!draft_.placement().holds(item.expert, it->second)) return std::prev(it.base());
    return room_.end();
  }

  Draft& draft_;
  std::vector<int64_t>& load_;
  int64_t level_;
  std::priority_queue<Item> items_;
  Rooms room_;
};

std::vector<int64_t> totals(const Problem& problem) {
  std::vector<int64_t> loads(problem.owner.size());
  for (size_t i = 0; i < problem.node_rows.size(); ++i)
    loads[i % loads.size()] += problem.node_rows[i];
  return loads;
}

int64_t mean_rows(const Problem& problem) {
  const int64_t all =
      std::accumulate(problem.node_rows.begin(), problem.node_rows.end(), int64_t{0});
  return divided_up(all, problem.nodes->devices());
}

// Experts by rising rows; of equal rows the higher index first.
std::vector<int> rising(std::span<const int64_t> rows) {
  std::vector<int> order(rows.size());
  std::iota(order.rbegin(), order.rend(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return rows[at(a)] < rows[at(b)]; });
  return order;
}

// The k experts that each node sends most rows to of those it does not own.
std::vector<std::vector<int>> wanted_experts(const Problem& problem, int k) {
  std::vector<std::vector<int>> wanted(at(problem.nodes->nodes()));
  for (int n = 0; n < problem.nodes->nodes(); ++n) {
    auto& experts = wanted[at(n)];
    for (int e = 0; e < problem.experts(); ++e)
      if (problem.rows(n, e) > 0 && problem.nodes->node(problem.owner[at(e)]) != n)
        experts.push_back(e);
    const auto most = std::min(std::ssize(experts), static_cast<int64_t>(k));
    std::partial_sort(experts.begin(), experts.begin() + most, experts.end(), [&](int a, int b) {
      const int64_t x = problem.rows(n, a), y = problem.rows(n, b);
      return x != y ? x > y : a < b;
    });
    experts.resize(static_cast<size_t>(most));
  }
  return wanted;
}

// [nodes, experts]: what nodes compute if rows of experts that they lack are poured over the nodes
// that have these, the emptiest first.
class NodeRows {
 public:
  NodeRows(const Problem& problem, const std::vector<std::vector<int>>& wanted)
      : problem_(problem), rows_(problem.node_rows.size()), load_(wanted.size()) {
    const auto experts = problem.owner.size();
    std::vector<char> here(rows_.size());
    for (size_t e = 0; e < experts; ++e)
      here[at(problem.nodes->node(problem.owner[e])) * experts + e] = 1;
    for (size_t n = 0; n < wanted.size(); ++n)
      for (int e : wanted[n]) here[n * experts + at(e)] = 1;
    rest_.resize(experts);
    for (size_t i = 0; i < rows_.size(); ++i) {
      if (here[i] == 0) {
        rest_[i % experts] += problem.node_rows[i];
      } else {
        rows_[i] = problem.node_rows[i];
        load_[i / experts] += rows_[i];
      }
    }
    pour(here);
  }
  std::span<const int64_t> node(int n) const {
    return std::span(rows_).subspan(at(n) * problem_.owner.size(), problem_.owner.size());
  }
  int64_t load(int n) const { return load_[at(n)]; }

 private:
  void pour(const std::vector<char>& here) {
    const std::vector<int> order = rising(rest_);
    std::vector<int> nodes;
    for (auto e = order.rbegin(); e != order.rend() && rest_[at(*e)] > 0; ++e) {
      nodes.clear();
      for (size_t n = 0; n < load_.size(); ++n)
        if (here[n * rest_.size() + at(*e)] != 0) nodes.push_back(static_cast<int>(n));
      pour_one(at(*e), nodes);
    }
  }
  void pour_one(size_t expert, std::vector<int>& nodes) {
    const auto size = [&](int n) { return std::ssize(problem_.nodes->members(n)); };
    std::stable_sort(nodes.begin(), nodes.end(),
                     [&](int a, int b) { return load_[at(a)] * size(b) < load_[at(b)] * size(a); });
    int64_t sum = rest_[expert], devices = 0;
    size_t among = 0;
    while (among < nodes.size() && load_[at(nodes[among])] * devices < sum * size(nodes[among])) {
      sum += load_[at(nodes[among])];
      devices += size(nodes[among++]);
    }
    int64_t left = rest_[expert];
    for (size_t i = 0; i < among; ++i) {
      const int64_t fair = sum * size(nodes[i]) / devices - load_[at(nodes[i])];
      const int64_t more = i + 1 == among ? left : std::clamp<int64_t>(fair, 0, left);
      rows_[at(nodes[i]) * rest_.size() + expert] += more;
      load_[at(nodes[i])] += more;
      left -= more;
    }
  }

  const Problem& problem_;
  std::vector<int64_t> rows_, load_, rest_;
};

}  // namespace

void fill_all(const Problem& problem, Draft& draft) {
  std::vector<int64_t> load(at(problem.nodes->devices()));
  std::vector<int> devices(load.size());
  std::iota(devices.begin(), devices.end(), 0);
  Group group(draft, load, mean_rows(problem));
  const std::vector<int64_t> rows = totals(problem);
  for (int e : rising(rows)) group.keep(e, rows[at(e)], problem.owner[at(e)]);
  group.place(devices);
}

void fill_nodes(const Problem& problem, int k, bool spill, Draft& draft) {
  const auto wanted = wanted_experts(problem, k);
  const NodeRows rows(problem, wanted);
  const int64_t mean = mean_rows(problem);
  std::vector<int64_t> load(at(problem.nodes->devices()));
  Group everyone(draft, load, mean);
  std::vector<int> owned;
  for (int n = 0; n < problem.nodes->nodes(); ++n) {
    const auto members = problem.nodes->members(n);
    const auto here = rows.node(n);
    const int64_t level =
        spill ? mean : std::max(mean, divided_up(rows.load(n), std::ssize(members)));
    Group group(draft, load, level);
    owned.clear();
    for (int e = 0; e < problem.experts(); ++e)
      if (problem.nodes->node(problem.owner[at(e)]) == n) owned.push_back(e);
    std::stable_sort(owned.begin(), owned.end(),
                     [&](int a, int b) { return here[at(a)] < here[at(b)]; });
    for (int e : owned) group.keep(e, here[at(e)], problem.owner[at(e)]);
    for (int e : wanted[at(n)]) group.bring(e, here[at(e)]);
    const std::vector<Item> left = group.place(members);
    if (spill)
      for (const Item& item : left)
        if (!item.missing) everyone.take(item);
  }
  std::vector<int> devices(load.size());
  std::iota(devices.begin(), devices.end(), 0);
  everyone.place(devices);
}

void fill_spare(const Problem& problem, Draft& draft) {
  const std::vector<int64_t> loads = totals(problem);
  const NodeMap& nodes = *problem.nodes;
  std::priority_queue<Item> experts;
  const auto push = [&](int e) {
    const auto holders = std::ssize(draft.placement().holders(e));
    if (loads[at(e)] > 0 && holders < nodes.devices())
      experts.push({loads[at(e)] / holders, e, false});
  };
  for (int e = 0; e < problem.experts(); ++e) push(e);
  int most = 0;
  for (int n = 0; n < nodes.nodes(); ++n) most = std::max(most, draft.link_chunks(n));
  const auto allowed = [&](int e, int d) {
    const int node = nodes.node(d);
    return !draft.placement().holds(e, d) &&
           (problem.model->objective == Objective::balance || draft.on_node(node, e) > 0 ||
            draft.link_chunks(node) < most);
  };
  int most_free = problem.slots;
  std::vector<int> open;
  for (int d = 0; d < nodes.devices(); ++d)
    if (draft.free(d) > 0) open.push_back(d);
  while (!experts.empty() && !open.empty()) {
    const int e = experts.top().expert;
    experts.pop();
    int best = -1;
    for (int d : open) {
      if (allowed(e, d) && (best < 0 || draft.free(d) > draft.free(best))) best = d;
      if (best == d && draft.free(d) >= most_free) break;
    }
    if (best >= 0) most_free = draft.free(best);
    if (best < 0) continue;
    draft.add(e, best);
    if (draft.free(best) == 0) std::erase(open, best);
    push(e);
  }
}

}  // namespace hecate::sharding::balanced
