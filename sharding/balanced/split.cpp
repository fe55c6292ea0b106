#include "sharding/balanced/split.h"

#include <algorithm>
#include <numeric>

namespace hecate::sharding::balanced {
namespace {

// Below this share of the layer's time no row is sent to another node for the sake of balance.
constexpr double kWorthALook = 1e-3;
// Levels between the mean and that without such rows, tried from above as long as time falls.
constexpr int kLevels = 6;

size_t at(int i) {
  return static_cast<size_t>(i);
}

}  // namespace

std::span<const int> Splitter::holders(int expert) const {
  return {device_.data() + first_[at(expert)], device_.data() + first_[at(expert) + 1]};
}

std::span<const int64_t> Splitter::rows(int expert) const {
  return {rows_.data() + first_[at(expert)], rows_.data() + first_[at(expert) + 1]};
}

void Splitter::split(const Problem& problem, const collectives::Placement& placement) {
  problem_ = &problem;
  lay_out(placement);
  load_.assign(at(problem.nodes->devices()), 0);
  const int64_t all =
      std::accumulate(problem.node_rows.begin(), problem.node_rows.end(), int64_t{0});
  mean_ = (all + std::ssize(load_) - 1) / std::ssize(load_);
  pour_nodes();
  pour_rest();
  level_inside();
  level_across();
}

void Splitter::lay_out(const collectives::Placement& placement) {
  const NodeMap& nodes = *problem_->nodes;
  first_.assign(1, 0);
  device_.clear();
  groups_.clear();
  group_first_.assign(1, 0);
  for (int e = 0; e < placement.experts(); ++e) {
    const size_t begin = device_.size();
    const auto holders = placement.holders(e);
    device_.insert(device_.end(), holders.begin(), holders.end());
    const auto before = [&](int a, int b) { return nodes.node(a) < nodes.node(b); };
    if (!std::is_sorted(holders.begin(), holders.end(), before))
      std::stable_sort(device_.begin() + static_cast<int64_t>(begin), device_.end(), before);
    for (size_t p = begin; p < device_.size(); ++p) {
      const int node = nodes.node(device_[p]);
      const auto place = static_cast<int>(p);
      if (p == begin || groups_.back().node != node) groups_.push_back({e, node, place, place});
      groups_.back().end = place + 1;
    }
    first_.push_back(static_cast<int>(device_.size()));
    group_first_.push_back(static_cast<int>(groups_.size()));
  }
  rows_.assign(device_.size(), 0);
}

// Fills the places' devices from the emptiest up to one level.
void Splitter::pour(std::span<const int> places, int64_t rows) {
  const auto add = [&](int place, int64_t more) {
    rows_[at(place)] += more;
    load_[at(device_[at(place)])] += more;
  };
  if (rows == 0) return;
  if (places.size() == 1) return add(places[0], rows);
  sorted_.assign(places.begin(), places.end());
  const auto load = [&](int place) { return load_[at(device_[at(place)])]; };
  std::stable_sort(sorted_.begin(), sorted_.end(), [&](int a, int b) { return load(a) < load(b); });
  int64_t sum = rows;
  size_t among = 0;
  while (among < sorted_.size() && load(sorted_[among]) * static_cast<int64_t>(among) < sum)
    sum += load(sorted_[among++]);
  const auto count = static_cast<int64_t>(among);
  const int64_t level = sum / count, more = sum % count;
  for (size_t i = 0; i < among; ++i)
    add(sorted_[i],
        std::max<int64_t>(0, level + (static_cast<int64_t>(i) < more ? 1 : 0) - load(sorted_[i])));
}

// Rows of experts that their own node holds: without a choice first, then the busiest experts.
void Splitter::pour_nodes() {
  order_.clear();
  for (size_t g = 0; g < groups_.size(); ++g) {
    const Group& group = groups_[g];
    if (group.end - group.begin > 1)
      order_.push_back(static_cast<int>(g));
    else
      pour({&group.begin, 1}, problem_->rows(group.node, group.expert));
  }
  const auto rows = [&](int g) {
    return problem_->rows(groups_[at(g)].node, groups_[at(g)].expert);
  };
  std::stable_sort(order_.begin(), order_.end(), [&](int a, int b) { return rows(a) > rows(b); });
  for (int g : order_) {
    group_places_.resize(at(groups_[at(g)].end - groups_[at(g)].begin));
    std::iota(group_places_.begin(), group_places_.end(), groups_[at(g)].begin);
    pour(group_places_, rows(g));
  }
}

// Rows of experts that their own node lacks.
void Splitter::pour_rest() {
  const auto experts = problem_->owner.size();
  rest_.assign(experts, 0);
  for (int n = 0; n < problem_->nodes->nodes(); ++n)
    for (size_t e = 0; e < experts; ++e) rest_[e] += problem_->node_rows[at(n) * experts + e];
  for (const Group& group : groups_)
    rest_[at(group.expert)] -= problem_->rows(group.node, group.expert);
  order_.clear();
  for (size_t e = 0; e < experts; ++e)
    if (rest_[e] > 0) order_.push_back(static_cast<int>(e));
  const auto choice = [&](int e) { return first_[at(e) + 1] - first_[at(e)] > 1; };
  std::stable_sort(order_.begin(), order_.end(), [&](int a, int b) {
    return choice(a) != choice(b) ? choice(b) : rest_[at(a)] > rest_[at(b)];
  });
  for (int e : order_) {
    group_places_.resize(at(first_[at(e) + 1] - first_[at(e)]));
    std::iota(group_places_.begin(), group_places_.end(), first_[at(e)]);
    pour(group_places_, rest_[at(e)]);
  }
}

void Splitter::level_inside() {
  tight_.clear();
  if (problem_->nodes->nodes() > 1) {
    order_.clear();
    for (const Group& group : groups_) order_.push_back(group.begin);
    order_.push_back(static_cast<int>(device_.size()));
    leveller_.level({.first = order_, .bin = device_, .bins = problem_->nodes->devices()}, rows_,
                    load_, mean_);
    tight_.assign(leveller_.tight().begin(), leveller_.tight().end());
  }
  level_ = *std::ranges::max_element(load_);
}

void Splitter::level_across() {
  const Model& model = *problem_->model;
  time_ = weigh();
  const double most = static_cast<double>(level_ - mean_) * model.cost.seconds_per_row;
  const bool always = model.objective == Objective::balance;
  if (level_ == mean_ || (!always && most < kWorthALook * time_.total())) return;
  const Places places{.first = first_, .bin = device_, .bins = problem_->nodes->devices()};
  const int64_t excess = level_ - mean_;
  const auto lower = [&](int64_t level) {
    level_ = leveller_.level(places, rows_, load_, level);
    time_ = weigh();
    return level_ == level;
  };
  if (always) {
    lower(mean_);
    tight_.assign(leveller_.tight().begin(), leveller_.tight().end());
    return;
  }
  LayerTime best = time_;
  int64_t best_level = level_;
  kept_rows_ = rows_;
  kept_load_ = load_;
  for (int part = kLevels - 1; part >= 0; --part) {
    const bool reached = lower(mean_ + excess * part / kLevels);
    if (time_.total() > best.total()) break;
    best = time_;
    best_level = level_;
    kept_rows_ = rows_;
    kept_load_ = load_;
    if (reached) continue;
    tight_.assign(leveller_.tight().begin(), leveller_.tight().end());
    break;
  }
  if (time_.total() <= best.total()) return;
  rows_.swap(kept_rows_);
  load_.swap(kept_load_);
  level_ = best_level;
  time_ = weigh();
}

LayerTime Splitter::weigh() {
  const LayerCost& cost = problem_->model->cost;
  const NodeMap& nodes = *problem_->nodes;
  const auto experts = problem_->owner.size();
  out_.assign(at(nodes.nodes()), 0);
  in_.assign(at(nodes.nodes()), 0);
  for (int n = 0; n < nodes.nodes(); ++n)
    for (size_t e = 0; e < experts; ++e) out_[at(n)] += problem_->node_rows[at(n) * experts + e];
  sent_ = out_;
  port_in_.assign(load_.size(), 0);
  kept_.assign(load_.size(), 0);
  for (const Group& group : groups_) {
    int64_t here = 0;
    for (int p = group.begin; p < group.end; ++p) here += rows_[at(p)];
    const int64_t wanted = problem_->rows(group.node, group.expert);
    out_[at(group.node)] -= std::min(wanted, here);
    in_[at(group.node)] += std::max<int64_t>(0, here - wanted);
    // Every device of the node sends the same share, which its own copy keeps.
    const auto members = static_cast<double>(nodes.members(group.node).size());
    const double inside =
        here > wanted ? static_cast<double>(wanted) / static_cast<double>(here) : 1.0;
    for (int p = group.begin; p < group.end; ++p) {
      const double arriving = inside * static_cast<double>(rows_[at(p)]);
      const double own = std::min(arriving, static_cast<double>(wanted) / members);
      port_in_[at(device_[at(p)])] += arriving - own;
      kept_[at(device_[at(p)])] += own;
    }
  }
  const auto link = static_cast<double>(
      std::max(*std::ranges::max_element(out_), *std::ranges::max_element(in_)));
  double port = 0;
  for (int n = 0; n < nodes.nodes(); ++n) {
    const auto members = nodes.members(n);
    const double sent =
        static_cast<double>(sent_[at(n)] - out_[at(n)]) / static_cast<double>(members.size());
    for (int d : members) port = std::max({port, port_in_[at(d)], sent - kept_[at(d)]});
  }
  const auto& topology = cost.topology;
  const double seconds = (link > 0     ? topology.between.latency_s
                          : port > 0.5 ? topology.inside.latency_s
                                       : 0) +
                         cost.row_bytes * std::max(port / topology.inside.bytes_per_s,
                                                   link / topology.between.bytes_per_s);
  return {.compute = static_cast<double>(level_) * cost.seconds_per_row,
          .exchange = cost.exchanges * seconds};
}

std::vector<std::vector<int64_t>> holder_rows(const Splitter& split,
                                              const collectives::Placement& placement) {
  std::vector<std::vector<int64_t>> result(at(placement.experts()));
  for (int e = 0; e < placement.experts(); ++e) {
    const auto holders = placement.holders(e);
    const auto places = split.holders(e);
    const auto rows = split.rows(e);
    auto& of_expert = result[at(e)];
    of_expert.resize(holders.size());
    for (size_t p = 0; p < places.size(); ++p)
      of_expert[static_cast<size_t>(std::ranges::lower_bound(holders, places[p]) -
                                    holders.begin())] = rows[p];
  }
  return result;
}

}  // namespace hecate::sharding::balanced
