#include "collectives/sparse_planner.h"

#include <algorithm>

namespace hecate::collectives {
namespace {

// Parts start at multiples of this, so that no element of any type is cut.
constexpr int64_t kPartGrain = 256;
// What one message costs a rank besides its bytes.
constexpr double kMessageSeconds = 3e-6;
// A chain through n nodes needs n times this many segments on the busiest link to be worth its
// depth.
constexpr double kChainSegments = 2;

}  // namespace

SparsePlanner::SparsePlanner(const SparseRequest& request, bool reduce)
    : request_(request),
      reduce_(reduce),
      node_of_(request.topology->node_of),
      nodes_(request.topology->nodes()),
      ranks_(request.topology->ranks()) {
  schedule_.owners.assign(request.owners.begin(), request.owners.end());
  schedule_.chunk_bytes.assign(request.chunk_bytes.begin(), request.chunk_bytes.end());
  schedule_.node_of.assign(node_of_.begin(), node_of_.end());
  find_must_loads();
}

// For a reduction everything runs backwards: "out" of the owner's node is what must enter it.
void SparsePlanner::find_must_loads() {
  must_out_.assign(at(nodes_), 0);
  must_in_.assign(at(nodes_), 0);
  std::vector<double> rank_in(at(ranks_), 0);
  std::vector<int> seen(at(nodes_), -1);
  std::vector<double> direct_out(at(nodes_)), direct_in(at(nodes_));
  reach_.assign(at(request_.materialized->experts()), 1);
  for (int e = 0; e < request_.materialized->experts(); ++e) {
    const int owner = request_.owners[at(e)];
    const auto bytes = static_cast<double>(request_.chunk_bytes[at(e)]);
    seen[at(node(owner))] = e;
    bool leaves = false;
    planned_transfers_ += request_.materialized->holders(e).size() - 1;
    for (int holder : request_.materialized->holders(e)) {
      if (holder != owner) rank_in[at(holder)] += bytes;
      if (node(holder) != node(owner)) {
        direct_out[at(node(owner))] += bytes;
        direct_in[at(node(holder))] += bytes;
      }
      if (seen[at(node(holder))] == e) continue;
      seen[at(node(holder))] = e;
      must_in_[at(node(holder))] += bytes;
      ++reach_[at(e)];
      leaves = true;
    }
    if (leaves) must_out_[at(node(owner))] += bytes;
    crossing_chunks_ += leaves && bytes > 0 ? 1 : 0;
  }
  for (int n = 0; n < nodes_; ++n) level_ = std::max({level_, must_out_[at(n)], must_in_[at(n)]});
  inside_level_ = *std::max_element(rank_in.begin(), rank_in.end());
  schedule_.lower_bound_seconds = std::max(level_ / request_.topology->between.bytes_per_s,
                                           inside_level_ / request_.topology->inside.bytes_per_s);
  double direct_level = 0;
  for (int n = 0; n < nodes_; ++n)
    direct_level = std::max({direct_level, direct_out[at(n)], direct_in[at(n)]});
  direct_bound_ = direct_level / request_.topology->between.bytes_per_s;
  node_load_ = must_out_;
  rank_load_.assign(at(ranks_), 0);
}

void SparsePlanner::emit(int source, int destination, bool partial, int depth) {
  schedule_.transfers.push_back({.chunk = chunk_number_,
                                 .part = part_,
                                 .source = source,
                                 .destination = destination,
                                 .offset = offset_,
                                 .bytes = bytes_,
                                 .partial = partial});
  max_depth_ = std::max(max_depth_, depth);
}

// Those with something to move; for a tree the ones with least choice first, so that the others
// find out where there is room.
std::vector<int> SparsePlanner::chunk_order(SparseAlgorithm algorithm) const {
  std::vector<int> order;
  for (int e = 0; e < request_.materialized->experts(); ++e)
    if (request_.chunk_bytes[at(e)] > 0 && request_.materialized->holders(e).size() > 1)
      order.push_back(e);
  if (algorithm != SparseAlgorithm::tree) return order;
  std::stable_sort(order.begin(), order.end(),
                   [&](int a, int b) { return reach_[at(a)] < reach_[at(b)]; });
  return order;
}

SparseSchedule SparsePlanner::plan(SparseAlgorithm algorithm) {
  schedule_.algorithm = algorithm;
  schedule_.transfers.reserve(planned_transfers_);
  for (int e : chunk_order(algorithm)) {
    chunk_number_ = e;
    offset_ = 0;
    bytes_ = request_.chunk_bytes[at(e)];
    switch (algorithm) {
      case SparseAlgorithm::direct:
        plan_direct(e);
        break;
      case SparseAlgorithm::group:
        plan_group(e);
        break;
      case SparseAlgorithm::tree:
      case SparseAlgorithm::automatic:
        plan_tree(e);
        break;
    }
  }
  model(schedule_);
  return std::move(schedule_);
}

void SparsePlanner::plan_direct(int chunk) {
  const auto holders = request_.materialized->holders(chunk);
  const int owner = request_.owners[at(chunk)];
  // Each owner begins with its successor, so that not everybody sends to rank 0 first.
  const auto begin = std::upper_bound(holders.begin(), holders.end(), owner) - holders.begin();
  for (size_t i = 0; i + 1 < holders.size(); ++i) {
    const int other = holders[(static_cast<size_t>(begin) + i) % holders.size()];
    reduce_ ? emit(other, owner, false, 1) : emit(owner, other, false, 1);
  }
  max_part_bytes_ = std::max(max_part_bytes_, bytes_);
  ++part_;
}

void SparsePlanner::plan_group(int chunk) {
  const auto holders = request_.materialized->holders(chunk);
  const int owner = request_.owners[at(chunk)];
  const size_t n = holders.size();
  const auto shift = static_cast<size_t>(std::lower_bound(holders.begin(), holders.end(), owner) -
                                         holders.begin());
  const auto rank_at = [&](size_t i) { return holders[(i + shift) % n]; };
  size_t top = 1;
  int depth = 0;
  while (top < n) top *= 2;
  if (reduce_) {
    for (size_t mask = 1; mask < n; mask *= 2) {
      ++depth;
      for (size_t i = mask; i < n; i += 2 * mask)
        emit(rank_at(i), rank_at(i - mask), mask > 1 && i + 1 < n, depth);
    }
  } else {
    for (size_t mask = top / 2; mask > 0; mask /= 2) {
      ++depth;
      for (size_t i = 0; i + mask < n; i += 2 * mask)
        emit(rank_at(i), rank_at(i + mask), false, depth);
    }
  }
  max_part_bytes_ = std::max(max_part_bytes_, bytes_);
  ++part_;
}

void SparsePlanner::split_holders(int chunk) {
  const int owner_node = node(request_.owners[at(chunk)]);
  const auto holders = request_.materialized->holders(chunk);
  sorted_holders_.assign(holders.begin(), holders.end());
  const auto position = [&](int rank) { return sum_position(node(rank), owner_node, nodes_); };
  const auto later = [&](int a, int b) { return position(a) < position(b); };
  if (!std::is_sorted(sorted_holders_.begin(), sorted_holders_.end(), later))
    std::stable_sort(sorted_holders_.begin(), sorted_holders_.end(), later);
  chunk_.nodes.clear();
  chunk_.members.clear();
  const std::span<const int> sorted(sorted_holders_);
  for (size_t begin = 0, end = 0; begin < sorted.size(); begin = end) {
    while (end < sorted.size() && node(sorted[end]) == node(sorted[begin])) ++end;
    chunk_.nodes.push_back(node(sorted[begin]));
    chunk_.members.push_back(sorted.subspan(begin, end - begin));
  }
}

// With few chunks to balance, a chunk is cut so that its parts can take different ways.
int SparsePlanner::parts_of(int chunk) const {
  if (chunk_.nodes.size() < 3) return 1;
  const int64_t bytes = request_.chunk_bytes[at(chunk)];
  const int64_t segments = (bytes + request_.segment_bytes - 1) / request_.segment_bytes;
  const int64_t wanted = (4 * nodes_ + crossing_chunks_ - 1) / crossing_chunks_;
  return static_cast<int>(std::clamp<int64_t>(std::min(segments, wanted), 1, 64));
}

void SparsePlanner::plan_tree(int chunk) {
  split_holders(chunk);
  const int64_t total = request_.chunk_bytes[at(chunk)];
  const int parts = parts_of(chunk);
  const int64_t grains = (total + kPartGrain - 1) / kPartGrain;
  int64_t begin = 0;
  for (int p = 0; p < parts; ++p) {
    const int64_t end = std::min(total, grains * (p + 1) / parts * kPartGrain);
    offset_ = begin;
    bytes_ = end - begin;
    begin = end;
    if (bytes_ == 0) continue;
    reduce_ ? reduce_part(chunk, p) : gather_part(chunk, p);
    max_part_bytes_ = std::max(max_part_bytes_, bytes_);
    ++part_;
  }
}

// The vertex that should send next: one whose link has room below the level that the busiest link
// has anyway, else the least loaded. Of those with room the shallowest, or for a chain the deepest.
int SparsePlanner::parent_for(std::span<const Vertex> tree, std::span<const double> loads,
                              double cost, double level, bool chain) const {
  int best = 0;
  auto key = [&](const Vertex& vertex) {
    const double load = loads[at(vertex.id)] + cost;
    const bool fits = load <= level;
    const int depth = chain ? -vertex.depth : vertex.depth;
    return std::pair<double, double>(fits ? depth : 1e6 + load, load);
  };
  auto best_key = key(tree[0]);
  for (size_t i = 1; i < tree.size(); ++i) {
    const auto candidate = key(tree[i]);
    if (candidate < best_key) {
      best_key = candidate;
      best = static_cast<int>(i);
    }
  }
  return best;
}

bool SparsePlanner::much_to_send(int nodes) const {
  return level_ >= kChainSegments * nodes * static_cast<double>(request_.segment_bytes);
}

void SparsePlanner::gather_part(int chunk, int number) {
  const int owner = request_.owners[at(chunk)];
  const auto bytes = static_cast<double>(bytes_);
  // Entry rank per node, by index in chunk_.nodes; the owner's node is last.
  const auto count = static_cast<int>(chunk_.nodes.size());
  std::vector<int> entry(at(count), owner), depth(at(count), 0);
  targets_.clear();
  for (int i = 0; i + 1 < count; ++i) {
    targets_.push_back(i);
    const auto members = chunk_.members[at(i)];
    entry[at(i)] = members[at(number + chunk) % members.size()];
  }
  // While there is much to send, round the nodes in a chain: then every link carries one stream
  // each way, and streams that share a link lose more than a few more hops cost. Else in few hops,
  // beginning with the link with most room, which can relay.
  const bool chain = much_to_send(count);
  if (!chain) {
    std::rotate(targets_.begin(), targets_.begin() + number % std::max(1, count - 1),
                targets_.end());
    std::stable_sort(targets_.begin(), targets_.end(), [&](int a, int b) {
      return node_load_[at(chunk_.nodes[at(a)])] < node_load_[at(chunk_.nodes[at(b)])];
    });
  }
  tree_.assign(1, {.id = node(owner), .depth = 0});
  std::vector<int> entry_of_vertex{owner};
  for (size_t t = 0; t < targets_.size(); ++t) {
    const int target = targets_[t];
    // The owner's first send is in node_load_ already: it cannot be avoided.
    const int parent = t == 0 ? 0 : parent_for(tree_, node_load_, bytes, level_, chain);
    const Vertex& from = tree_[at(parent)];
    if (t > 0) node_load_[at(from.id)] += bytes;
    depth[at(target)] = from.depth + 1;
    emit(entry_of_vertex[at(parent)], entry[at(target)], false, from.depth + 1);
    tree_.push_back({.id = chunk_.nodes[at(target)], .depth = from.depth + 1});
    entry_of_vertex.push_back(entry[at(target)]);
  }
  for (int i = 0; i < count; ++i) {
    inner_.assign(1, {.id = entry[at(i)], .depth = depth[at(i)]});
    for (int member : chunk_.members[at(i)]) {
      if (member == entry[at(i)]) continue;
      const Vertex from = inner_[at(parent_for(inner_, rank_load_, bytes, inside_level_, false))];
      rank_load_[at(from.id)] += bytes;
      emit(from.id, member, false, from.depth + 1);
      inner_.push_back({.id = member, .depth = from.depth + 1});
    }
  }
}

void SparsePlanner::reduce_inside(int node_index, int leader) {
  for (int member : chunk_.members[at(node_index)])
    if (member != leader) emit(member, leader, false, 1);
}

// Which nodes relay: of all ways to cut the order of sums into runs, each taken in by the node that
// follows it, the one that leaves the busiest link least loaded; then, by need, most or fewest
// hops.
void SparsePlanner::choose_relays(int owner_node, bool chain) {
  const auto count = static_cast<int>(chunk_.nodes.size());
  const auto bytes = static_cast<double>(bytes_);
  relays_.assign(at(count), {});
  for (int i = 1; i < count; ++i) {
    const bool last = i + 1 == count;
    // What must enter the owner's node is in its load already.
    const double load =
        last ? node_load_[at(owner_node)] - bytes : node_load_[at(chunk_.nodes[at(i)])];
    Relay& best = relays_[at(i)];
    for (int previous = -1; previous < i; ++previous) {
      if (previous == 0) continue;  // the first has nothing to add to
      const int inputs = previous < 0 ? i : i - previous;
      const double here = std::max(level_, load + inputs * bytes);
      const Relay* before = previous < 0 ? nullptr : &relays_[at(previous)];
      const Relay way{.worst = before == nullptr ? here : std::max(before->worst, here),
                      .hops = 1 + (before == nullptr ? 0 : before->hops),
                      .previous = previous};
      const bool nicer = chain ? way.hops > best.hops : way.hops < best.hops;
      if (way.worst < best.worst || (way.worst == best.worst && nicer)) best = way;
    }
  }
}

// Node sums travel along the order of sums. A node either relays (adds what came before it and
// passes the sum on) or sends its own sum to the next relay.
void SparsePlanner::reduce_part(int chunk, int number) {
  const int owner = request_.owners[at(chunk)];
  const auto count = static_cast<int>(chunk_.nodes.size());
  const int owner_node = node(owner);
  choose_relays(owner_node, much_to_send(count));
  relaying_.assign(at(count), 0);
  for (int i = count - 1; i > 0; i = relays_[at(i)].previous) relaying_[at(i)] = 1;
  pending_.clear();
  int depth = 1;
  const auto take_in = [&](int leader, int here) {
    for (const auto& [from, sum] : pending_) emit(from, leader, sum, depth + 1);
    node_load_[at(here)] += static_cast<double>(pending_.size()) * static_cast<double>(bytes_);
    depth += pending_.empty() ? 0 : 1;
    pending_.clear();
  };
  for (int i = 0; i + 1 < count; ++i) {
    const auto members = chunk_.members[at(i)];
    const int leader = members[at(number + chunk) % members.size()];
    reduce_inside(i, leader);
    if (relaying_[at(i)] != 0) take_in(leader, chunk_.nodes[at(i)]);
    pending_.emplace_back(leader, members.size() > 1 || relaying_[at(i)] != 0);
  }
  reduce_inside(count - 1, owner);
  if (pending_.empty()) return;
  take_in(owner, owner_node);
  node_load_[at(owner_node)] -= static_cast<double>(bytes_);  // was counted from the start
}

void SparsePlanner::model(SparseSchedule& schedule) const {
  const Topology& topology = *request_.topology;
  std::vector<double> out(at(nodes_)), in(at(nodes_)), port_out(at(ranks_)), port_in(at(ranks_));
  std::vector<double> messages(at(ranks_));
  const auto segment = static_cast<double>(request_.segment_bytes);
  const double per_segment = 1.0 / segment;
  for (const Transfer& transfer : schedule.transfers) {
    const auto bytes = static_cast<double>(transfer.bytes);
    const double count = 1.0 + bytes * per_segment;
    messages[at(transfer.source)] += count;
    messages[at(transfer.destination)] += count;
    const int from = node(transfer.source), to = node(transfer.destination);
    if (from == to) {
      port_out[at(transfer.source)] += bytes;
      port_in[at(transfer.destination)] += bytes;
    } else {
      out[at(from)] += bytes;
      in[at(to)] += bytes;
    }
  }
  const auto largest = [](const std::vector<double>& values) {
    return *std::max_element(values.begin(), values.end());
  };
  const bool crosses = crossing_chunks_ > 0;
  const Link& hop = crosses ? topology.between : topology.inside;
  const double step =
      hop.latency_s + std::min(segment, static_cast<double>(max_part_bytes_)) / hop.bytes_per_s;
  const double busy = std::max({largest(out) / topology.between.bytes_per_s,
                                largest(in) / topology.between.bytes_per_s,
                                largest(port_out) / topology.inside.bytes_per_s,
                                largest(port_in) / topology.inside.bytes_per_s});
  const int fill = std::max(0, max_depth_ - 1);
  schedule.modelled_seconds =
      busy + hop.latency_s + fill * step + largest(messages) * kMessageSeconds;
}

}  // namespace hecate::collectives
