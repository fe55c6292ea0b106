#pragma once
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "collectives/sparse_schedule.h"

namespace hecate::collectives {

/// Works out one schedule. Internal to sparse_schedule.cpp; see there for the contract.
class SparsePlanner {
 public:
  SparsePlanner(const SparseRequest& request, bool reduce);
  SparseSchedule plan(SparseAlgorithm algorithm);
  /// Seconds below which `direct` cannot be, because of the links between nodes.
  double direct_bound() const { return direct_bound_; }

 private:
  /// Holders of the current chunk by node.
  struct ChunkNodes {
    std::vector<int> nodes;  // in order of sums, the owner's last
    std::vector<std::span<const int>> members;
  };
  /// A vertex of a growing multicast tree.
  struct Vertex {
    int id = 0, depth = 0;
  };

  /// The best way to get sums to a node that takes in all since the previous relay.
  struct Relay {
    double worst = std::numeric_limits<double>::infinity();  // of the links' loads
    int hops = 0, previous = -1;
  };

  void find_must_loads();
  void split_holders(int chunk);
  void emit(int source, int destination, bool partial, int depth);
  void plan_direct(int chunk);
  void plan_group(int chunk);
  void plan_tree(int chunk);
  void gather_part(int chunk, int number);
  void reduce_part(int chunk, int number);
  void choose_relays(int owner_node, bool chain);
  void reduce_inside(int node_index, int leader);
  std::vector<int> chunk_order(SparseAlgorithm algorithm) const;
  int parts_of(int chunk) const;
  bool much_to_send(int nodes) const;
  int parent_for(std::span<const Vertex> tree, std::span<const double> loads, double cost,
                 double level, bool chain) const;
  void model(SparseSchedule& schedule) const;

  int node(int rank) const { return node_of_[static_cast<size_t>(rank)]; }
  static size_t at(int i) { return static_cast<size_t>(i); }

  const SparseRequest& request_;
  bool reduce_;
  std::span<const int> node_of_;
  int nodes_, ranks_;
  SparseSchedule schedule_;
  // Bytes that must leave and enter each node whatever the schedule, and what bounds them.
  std::vector<double> must_out_, must_in_;
  double level_ = 0;         // the busiest node's bytes
  double inside_level_ = 0;  // the busiest rank's bytes inside its node
  double direct_bound_ = 0;
  int crossing_chunks_ = 0;
  std::vector<int> reach_;  // per chunk: nodes that hold it
  size_t planned_transfers_ = 0;
  // Bytes given to each node's link so far, in the direction that relaying adds to (out for a
  // gather, in for a reduction), and to each rank's port.
  std::vector<double> node_load_, rank_load_;
  ChunkNodes chunk_;
  std::vector<int> sorted_holders_;
  // The part being planned.
  int32_t part_ = 0, chunk_number_ = 0;
  int64_t offset_ = 0, bytes_ = 0;
  int max_depth_ = 0;
  int64_t max_part_bytes_ = 0;
  std::vector<Vertex> tree_, inner_;
  std::vector<int> targets_;
  std::vector<Relay> relays_;                  // per node of the chunk
  std::vector<uint8_t> relaying_;              // the same
  std::vector<std::pair<int, bool>> pending_;  // leader, whether it sends a sum
};

}  // namespace hecate::collectives
