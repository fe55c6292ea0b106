#include "sharding/dispatch_level.h"

#include <algorithm>
#include <numeric>

namespace hecate::sharding {
namespace {

constexpr int kGivingPasses = 2;

int64_t divided_up(int64_t sum, int64_t parts) {
  return (sum + parts - 1) / parts;
}

class Leveller {
 public:
  Leveller(HolderRows rows, const collectives::Placement& placement)
      : rows_(std::move(rows)),
        placement_(placement),
        device_rows_(static_cast<size_t>(placement.devices())),
        choices_(device_rows_.size()) {
    std::vector<int64_t> fixed(device_rows_.size());
    std::vector<int64_t> totals(rows_.size());
    for (size_t e = 0; e < rows_.size(); ++e) {
      totals[e] = std::accumulate(rows_[e].begin(), rows_[e].end(), int64_t{0});
      if (totals[e] == 0) continue;
      const bool choice = rows_[e].size() > 1;
      if (choice) shared_.push_back(e);
      for (size_t h = 0; h < rows_[e].size(); ++h) {
        device_rows_[device(e, h)] += rows_[e][h];
        if (choice)
          choices_[device(e, h)].push_back({e, h});
        else
          fixed[device(e, h)] += rows_[e][h];
      }
    }
    std::stable_sort(shared_.begin(), shared_.end(),
                     [&](size_t a, size_t b) { return totals[a] > totals[b]; });
    const int64_t sum = std::accumulate(device_rows_.begin(), device_rows_.end(), int64_t{0});
    bound_ = std::max(divided_up(sum, std::ssize(device_rows_)),
                      *std::max_element(fixed.begin(), fixed.end()));
  }

  void give() {
    for (int pass = 0; pass < kGivingPasses; ++pass)
      for (size_t e : shared_) give_one(e);
  }

  void pass_on() {
    for (int chains = kChainsPerDevice * placement_.devices(); chains > 0; --chains) {
      const auto highest = static_cast<size_t>(
          std::max_element(device_rows_.begin(), device_rows_.end()) - device_rows_.begin());
      reach_from(highest);
      int64_t sum = 0;
      for (size_t d : reached_) sum += device_rows_[d];
      const int64_t level = divided_up(sum, std::ssize(reached_));
      if (device_rows_[highest] <= level) return;
      const auto lower = std::find_if(reached_.begin(), reached_.end(),
                                      [&](size_t d) { return device_rows_[d] < level; });
      push(highest, *lower, level);
    }
  }

  HolderRows rows() && { return std::move(rows_); }

 private:
  // One holder of one expert.
  struct Place {
    size_t expert, holder;
  };
  // How the search came to a device: rows may go from `from` to `to`, both of one expert.
  struct Step {
    Place from, to;
  };

  size_t device(size_t expert, size_t holder) const {
    return static_cast<size_t>(placement_.holders(static_cast<int>(expert))[holder]);
  }

  void move(size_t expert, size_t from, size_t to, int64_t rows) {
    rows_[expert][from] -= rows;
    device_rows_[device(expert, from)] -= rows;
    rows_[expert][to] += rows;
    device_rows_[device(expert, to)] += rows;
  }

  void give_one(size_t e) {
    size_t to = 0;
    for (size_t from = 0; from < rows_[e].size(); ++from)
      while (rows_[e][from] > 0 && device_rows_[device(e, from)] > bound_) {
        while (to < rows_[e].size() && device_rows_[device(e, to)] >= bound_) ++to;
        if (to == rows_[e].size()) return;
        move(e, from, to,
             std::min({rows_[e][from], device_rows_[device(e, from)] - bound_,
                       bound_ - device_rows_[device(e, to)]}));
      }
  }

  // Breadth first over devices that rows can go to; reached_ in that order.
  void reach_from(size_t first) {
    reached_.assign(1, first);
    seen_device_.assign(device_rows_.size(), 0);
    seen_expert_.assign(rows_.size(), 0);
    came_by_.resize(device_rows_.size());
    seen_device_[first] = 1;
    for (size_t i = 0; i < reached_.size(); ++i)
      for (const Place& from : choices_[reached_[i]]) {
        if (rows_[from.expert][from.holder] == 0 || seen_expert_[from.expert] != 0) continue;
        seen_expert_[from.expert] = 1;
        for (size_t h = 0; h < rows_[from.expert].size(); ++h) {
          const size_t d = device(from.expert, h);
          if (seen_device_[d] != 0) continue;
          seen_device_[d] = 1;
          came_by_[d] = {from, {from.expert, h}};
          reached_.push_back(d);
        }
      }
  }

  void push(size_t from, size_t to, int64_t level) {
    int64_t rows = std::min(device_rows_[from] - level, level - device_rows_[to]);
    const auto before = [&](size_t d) {
      return device(came_by_[d].from.expert, came_by_[d].from.holder);
    };
    for (size_t d = to; d != from; d = before(d))
      rows = std::min(rows, rows_[came_by_[d].from.expert][came_by_[d].from.holder]);
    for (size_t d = to; d != from; d = before(d))
      move(came_by_[d].from.expert, came_by_[d].from.holder, came_by_[d].to.holder, rows);
  }

  HolderRows rows_;
  const collectives::Placement& placement_;
  std::vector<int64_t> device_rows_;
  std::vector<std::vector<Place>> choices_;  // per device: experts that have other holders, too
  std::vector<size_t> shared_;               // those experts, most rows first
  int64_t bound_ = 0;                        // no placement of rows has a lower maximum
  std::vector<size_t> reached_;
  std::vector<char> seen_device_, seen_expert_;
  std::vector<Step> came_by_;
};

}  // namespace

HolderRows level_rows(HolderRows start, const collectives::Placement& materialized) {
  Leveller leveller(std::move(start), materialized);
  leveller.give();
  leveller.pass_on();
  return std::move(leveller).rows();
}

}  // namespace hecate::sharding
