#pragma once
#include <limits>
#include <vector>

#include "sharding/balanced/draft.h"
#include "sharding/balanced/split.h"

namespace hecate::sharding::balanced {

/// What a placement comes to.
struct Value {
  LayerTime time;
  int64_t rows = 0;  ///< of the busiest device
  double score = 0;  ///< of objective time: seconds, the mean over the rows that are weighed
};

/// Weighs placements of one problem and improves them copy by copy.
class Search {
 public:
  /// @param gathered null, or what has been gathered already: further copies are then charged with
  ///   all of their gather, which nothing hides, and what is evicted has been gathered in vain.
  explicit Search(const Problem& problem, const Draft* gathered = nullptr);

  Value weigh(const Draft& draft);
  /// From now on objective time goes by the mean of the problem's rows and of others, which the
  /// forecast might miss, among placements that take no longer than `most` for the problem's own.
  void weigh_also(const Problem& other, double most);
  bool allowed(const Value& value) const { return value.time.total() <= most_; }
  /// Whether a is better: allowed and a lower score, or fewer rows and, of equal rows, less time.
  bool better(const Value& a, const Value& b) const;
  /// Adds copies, up to `steps`, each the better of two: one that relieves the busiest devices, one
  /// that keeps most rows on the node whose link is busiest. Goes on through copies that do not pay
  /// by themselves; `draft` ends as the best that was met, as given included.
  /// @param evict copies may take the place of those with fewest rows.
  /// @param enough rows of the busiest device that nothing is done about.
  Value improve(Draft& draft, int steps, bool evict, int64_t enough);

 private:
  struct Copy {
    int expert = -1, device = -1;
    int evicted = -1;  // an expert that makes room
    bool valid() const { return expert >= 0; }
  };

  void look_for_victims(const Draft& draft);
  Copy relieving(const Draft& draft);
  Copy keeping(const Draft& draft) const;
  Copy on_emptiest(const Draft& draft, int expert, std::span<const int> devices) const;
  static void apply(Draft& draft, const Copy& copy);

  const Problem* problem_;
  const Draft* gathered_;
  LayerTime gathered_time_;
  Splitter split_, other_split_;
  const Problem* other_ = nullptr;
  double most_ = std::numeric_limits<double>::infinity();
  std::vector<int> everyone_, victim_;  // per device: the copy with fewest rows, -1: none
  std::vector<char> tight_;
  std::vector<int64_t> busy_rows_;
};

}  // namespace hecate::sharding::balanced
