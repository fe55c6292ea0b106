#include "sharding/balanced/search.h"

#include <algorithm>
#include <numeric>

namespace hecate::sharding::balanced {
namespace {

size_t at(int i) {
  return static_cast<size_t>(i);
}

// The gather of what `draft` has beyond `gathered`.
double extra_gather_seconds(const Problem& problem, const Draft& gathered, const Draft& draft) {
  std::vector<int> link(at(problem.nodes->nodes())), port(at(problem.nodes->devices()));
  std::vector<int> reached(link.size(), -1);
  for (int e = 0; e < problem.experts(); ++e)
    for (int d : draft.placement().holders(e)) {
      if (gathered.placement().holds(e, d)) continue;
      const int node = problem.nodes->node(d);
      const bool first = gathered.on_node(node, e) == 0 && reached[at(node)] != e;
      ++(first ? link[at(node)] : port[at(d)]);
      reached[at(node)] = e;
    }
  return exposed_seconds(problem.model->cost.topology, *std::ranges::max_element(link),
                         *std::ranges::max_element(port), problem.model->cost.gather_bytes, 0);
}

}  // namespace

Search::Search(const Problem& problem, const Draft* gathered)
    : problem_(&problem), gathered_(gathered), everyone_(at(problem.nodes->devices())) {
  std::iota(everyone_.begin(), everyone_.end(), 0);
  if (gathered != nullptr) gathered_time_ = gathered->collectives_time();
}

Value Search::weigh(const Draft& draft) {
  split_.split(*problem_, draft.placement());
  Value value{.time = draft.collectives_time(), .rows = split_.level()};
  if (gathered_ != nullptr)
    value.time.gather = gathered_time_.gather + extra_gather_seconds(*problem_, *gathered_, draft);
  value.time.compute = split_.time().compute;
  value.time.exchange = split_.time().exchange;
  value.score = value.time.total();
  if (other_ == nullptr) return value;
  other_split_.split(*other_, draft.placement());
  value.score =
      (2 * value.score - value.time.compute - value.time.exchange + other_split_.time().total()) /
      2;
  return value;
}

void Search::weigh_also(const Problem& other, double most) {
  other_ = &other;
  most_ = most;
}

bool Search::better(const Value& a, const Value& b) const {
  if (problem_->model->objective == Objective::balance && a.rows != b.rows) return a.rows < b.rows;
  if (problem_->model->objective == Objective::balance) return a.time.total() < b.time.total();
  return allowed(a) && a.score < b.score;
}

Value Search::improve(Draft& draft, int steps, bool evict, int64_t enough) {
  Value best = weigh(draft), now = best;
  Draft tried = draft;
  victim_.assign(everyone_.size(), -1);
  const bool time = problem_->model->objective == Objective::time;
  for (; steps > 0 && (time || now.rows > enough); --steps) {
    if (evict) look_for_victims(tried);
    const Copy relief = now.rows > enough ? relieving(tried) : Copy{};
    const Copy keep = time ? keeping(tried) : Copy{};
    if (!relief.valid() && !keep.valid()) break;
    Draft next = tried;
    apply(next, relief.valid() ? relief : keep);
    now = weigh(next);
    if (relief.valid() && keep.valid()) {
      Draft other = tried;
      apply(other, keep);
      const Value value = weigh(other);
      if (better(value, now)) {
        now = value;
        next = std::move(other);
      } else {
        weigh(next);
      }
    }
    tried = std::move(next);
    if (better(now, best)) {
      best = now;
      draft = tried;
    }
  }
  return best;
}

void Search::apply(Draft& draft, const Copy& copy) {
  if (copy.evicted >= 0) draft.remove(copy.evicted, copy.device);
  draft.add(copy.expert, copy.device);
}

void Search::look_for_victims(const Draft& draft) {
  std::vector<int64_t> fewest(everyone_.size());
  victim_.assign(everyone_.size(), -1);
  for (int e = 0; e < draft.placement().experts(); ++e) {
    const auto holders = split_.holders(e);
    const auto rows = split_.rows(e);
    for (size_t i = 0; i < holders.size(); ++i) {
      const int d = holders[i];
      if (d == problem_->owner[at(e)]) continue;
      if (victim_[at(d)] >= 0 && fewest[at(d)] <= rows[i]) continue;
      victim_[at(d)] = e;
      fewest[at(d)] = rows[i];
    }
  }
}

// Among devices with room, the one with fewest rows.
Search::Copy Search::on_emptiest(const Draft& draft, int expert,
                                 std::span<const int> devices) const {
  Copy best;
  for (int d : devices) {
    if (draft.placement().holds(expert, d)) continue;
    const int victim = draft.free(d) > 0 ? -1 : victim_[at(d)];
    if (draft.free(d) == 0 && victim < 0) continue;
    if (best.valid() && split_.load()[at(d)] >= split_.load()[at(best.device)]) continue;
    best = {expert, d, victim};
  }
  return best;
}

// The expert with most rows on the busy devices to one that is not busy: of the same node if there
// is one.
Search::Copy Search::relieving(const Draft& draft) {
  const auto tight = split_.tight();
  if (tight.empty()) return {};
  tight_.assign(everyone_.size(), 0);
  for (int d : tight) tight_[at(d)] = 1;
  busy_rows_.assign(problem_->owner.size(), 0);
  std::vector<int> order;
  for (int e = 0; e < problem_->experts(); ++e) {
    const auto holders = split_.holders(e);
    for (size_t i = 0; i < holders.size(); ++i)
      if (tight_[at(holders[i])] != 0) busy_rows_[at(e)] += split_.rows(e)[i];
    if (busy_rows_[at(e)] > 0) order.push_back(e);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return busy_rows_[at(a)] > busy_rows_[at(b)]; });
  std::vector<int> near, all;
  const int node = problem_->nodes->node(tight.front());
  for (int d : everyone_)
    if (tight_[at(d)] == 0) {
      all.push_back(d);
      if (problem_->nodes->node(d) == node) near.push_back(d);
    }
  for (int e : order) {
    if (problem_->model->objective == Objective::time)
      if (const Copy copy = on_emptiest(draft, e, near); copy.valid()) return copy;
    if (const Copy copy = on_emptiest(draft, e, all); copy.valid()) return copy;
  }
  return {};
}

// For the node that most rows leave: the expert that it lacks and sends most rows to.
Search::Copy Search::keeping(const Draft& draft) const {
  const auto out = split_.out();
  const auto node = static_cast<int>(std::ranges::max_element(out) - out.begin());
  if (out[at(node)] == 0) return {};
  int wanted = -1;
  for (int e = 0; e < problem_->experts(); ++e)
    if (draft.on_node(node, e) == 0 && problem_->rows(node, e) > 0 &&
        (wanted < 0 || problem_->rows(node, e) > problem_->rows(node, wanted)))
      wanted = e;
  if (wanted < 0) return {};
  return on_emptiest(draft, wanted, problem_->nodes->members(node));
}

}  // namespace hecate::sharding::balanced
