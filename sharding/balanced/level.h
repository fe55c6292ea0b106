#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace hecate::sharding::balanced {

/// Rows of items that lie in bins. Item i may use places first[i] .. first[i+1] - 1; place p is in
/// bin bin[p], no two places of an item in the same one.
struct Places {
  std::span<const int> first;  ///< [items + 1]
  std::span<const int> bin;    ///< [places]
  int bins = 0;
};

/// Moves rows between places of the same item until no bin has more than it must, and not below
/// `floor`. Exact: the answer is max(floor, the least maximum that any split of the items has).
/// Water-filling by maximum flows: bins above a level pass rows on, along chains of items, to bins
/// below it. Where that gets stuck, the bins Z that the rows above the level can reach hold only
/// rows of items with no place outside Z, so every split leaves some bin of Z with at least
/// ceil(rows in Z / |Z|), which becomes the level. It rises with every flow and ends at a level
/// that a flow attains. Within a level chains are shortest first (Dinic), so rows move no further
/// than they need to. Deterministic.
class Leveller {
 public:
  /// @param rows [places], changed. @param load [bins], the sums of `rows` per bin, kept so.
  int64_t level(const Places& places, std::span<int64_t> rows, std::span<int64_t> load,
                int64_t floor);
  /// After level(floor) ended above `floor`: bins that hold what cannot get below the level; empty
  /// when the floor was reached.
  std::span<const int> tight() const { return tight_; }

 private:
  bool search();
  void index_bins();
  int64_t push_from_bin(int bin, int64_t amount, bool first);
  int64_t push_from_item(int item, int64_t amount);
  int64_t raised_level();

  Places places_;
  std::span<int64_t> rows_, load_;
  int64_t level_ = 0;
  std::vector<int> item_of_;                // per place; -1: the item has no choice
  std::vector<int> bin_first_, bin_place_;  // places of each bin, of items with a choice
  std::vector<int> bin_depth_, item_depth_, bin_next_, item_next_;
  std::vector<int> queue_;  // bins, as the search met them
  size_t sources_ = 0;      // of them, those above the level
  std::vector<int> tight_;
};

}  // namespace hecate::sharding::balanced
