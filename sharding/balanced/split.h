#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "collectives/placement.h"
#include "sharding/balanced/level.h"
#include "sharding/balanced/problem.h"

namespace hecate::sharding::balanced {

/// Divides one layer's rows among the holders of their experts. Rows of an expert that a node holds
/// are levelled over its holders there; the others are poured over all holders, the emptiest
/// first; then what makes devices busier than they must be is levelled over all holders, fully
/// (objective balance) or as far as the layer's modelled time falls (objective time). The busiest
/// device ends at the exact minimum of the placement (Leveller) unless time is better without.
/// Keeps its memory from call to call.
class Splitter {
 public:
  /// @param problem, placement must outlive what is asked below.
  void split(const Problem& problem, const collectives::Placement& placement);

  /// Of the busiest device.
  int64_t level() const { return level_; }
  /// Seconds of compute and of the exchanges, from what nodes send; inside a node rows are taken to
  /// come from all its devices alike.
  const LayerTime& time() const { return time_; }
  /// Rows of an expert on its holders, which come node by node, rising.
  std::span<const int> holders(int expert) const;
  std::span<const int64_t> rows(int expert) const;
  /// Per device.
  std::span<const int64_t> load() const { return load_; }
  /// Per node: rows that leave it, and that come to it.
  std::span<const int64_t> out() const { return out_; }
  std::span<const int64_t> in() const { return in_; }
  /// Devices that are busy with rows which only they could take (on their nodes, where no row was
  /// sent to another one for the sake of balance); empty where all are at the mean.
  std::span<const int> tight() const { return tight_; }

 private:
  struct Group {
    int expert, node, begin, end;  // places of the expert on the node
  };

  void lay_out(const collectives::Placement& placement);
  void pour(std::span<const int> places, int64_t rows);
  void pour_nodes();
  void pour_rest();
  void level_inside();
  void level_across();
  LayerTime weigh();

  const Problem* problem_ = nullptr;
  std::vector<int> first_, device_;  // places by expert, node, device
  std::vector<Group> groups_;
  std::vector<int> group_first_;  // per expert
  std::vector<int64_t> rows_, load_, out_, in_, rest_, kept_rows_, kept_load_, sent_;
  std::vector<double> port_in_, kept_;
  std::vector<int> order_, sorted_, group_places_, tight_;
  Leveller leveller_;
  LayerTime time_;
  int64_t mean_ = 0, level_ = 0;
};

/// HolderRows of dispatch_level.h: [expert][position among placement.holders(expert)].
std::vector<std::vector<int64_t>> holder_rows(const Splitter& split,
                                              const collectives::Placement& placement);

}  // namespace hecate::sharding::balanced
