#include "sharding/exec/resharder.h"

#include <algorithm>
#include <exception>
#include <span>
#include <vector>

#include "runtime/base/error.h"

namespace hecate::sharding::exec {
namespace {

using collectives::Communicator;
using collectives::Receive;
using collectives::Send;

constexpr int64_t kArrays = 3;  // values and both moments, the owner's slice of each

// Which chunks come to which ranks, and from where, by layer, expert and target.
std::vector<OwnerMove> moves_to(const ExpertStore& store, const Ownership& owners,
                                std::span<const collectives::Placement> holders,
                                std::span<const int> node_of) {
  const auto node = [&](int rank) { return node_of[static_cast<size_t>(rank)]; };
  std::vector<OwnerMove> moves;
  for (int l = 0; l < owners.layers(); ++l) {
    const collectives::Placement before = store.holders(l);
    const collectives::Placement after =
        holders.empty() ? owners.placement(l) : holders[static_cast<size_t>(l)];
    for (int e = 0; e < owners.experts(); ++e)
      for (int to : after.holders(e)) {
        if (before.holds(e, to)) continue;
        const auto near = std::ranges::find(before.holders(e), node(to), node);
        const int from =
            near != before.holders(e).end() ? *near : static_cast<int>(store.owner(l, e));
        moves.push_back({.layer = l, .expert = e, .from = from, .to = to});
      }
  }
  return moves;
}

bool stays(const ExpertStore& store, const Ownership& owners,
           std::span<const collectives::Placement> holders) {
  if (owners != store.owners()) return false;
  for (int l = 0; l < owners.layers(); ++l)
    if (!holders.empty() && holders[static_cast<size_t>(l)] != store.holders(l)) return false;
  return true;
}

// Incoming chunks in the order of the moves. Values wait in gradients, which are dead now: there
// are as many as a rank can own. Both moments wait side by side in memory of their own.
struct Arrivals {
  const ExpertStore* store = nullptr;
  std::vector<OwnerMove> moves;
  MemoryBlock moments;
  Real* at(int64_t arrival, int64_t array) const {
    if (array == 0) return store->gradient_slot(arrival);
    return reinterpret_cast<Real*>(moments.data()) +
           (arrival * (kArrays - 1) + array - 1) * store->slice().size();
  }
};

Arrivals make_room(const ExpertStore& store, const std::vector<OwnerMove>& moves, int me,
                   MemoryLedger& ledger) {
  Arrivals arrivals{.store = &store, .moves = {}, .moments = {}};
  std::ranges::copy_if(moves, std::back_inserter(arrivals.moves),
                       [&](const OwnerMove& move) { return move.to == me; });
  arrivals.moments = MemoryBlock(ledger, MemoryCategory::buffers,
                                 std::ssize(arrivals.moves) * (kArrays - 1) * store.slice().size() *
                                     static_cast<int64_t>(sizeof(Real)));
  return arrivals;
}

int64_t transfer(const ExpertStore& store, const std::vector<OwnerMove>& moves,
                 const Communicator& communicator, const Arrivals& arrivals) {
  const int me = communicator.rank();
  const int64_t bytes = store.slice().size() * static_cast<int64_t>(sizeof(Real));
  std::vector<Send> sends;
  std::vector<Receive> receives;
  for (const OwnerMove& move : moves) {
    if (move.from == me) {
      const OwnedChunk chunk = store.chunk(move.layer, move.expert);
      for (const Real* data : {chunk.own_value, chunk.first_moment, chunk.second_moment})
        sends.push_back({.peer = move.to, .data = data, .bytes = bytes});
    }
    if (move.to != me) continue;
    const int64_t arrival = std::ssize(receives) / kArrays;
    for (int64_t array = 0; array < kArrays; ++array)
      receives.push_back({.peer = move.from, .data = arrivals.at(arrival, array), .bytes = bytes});
  }
  communicator.exchange(sends, receives).wait();
  return std::ssize(sends) * bytes;
}

// Whether all ranks got this far without an error; also a barrier.
bool all_well(const Communicator& communicator, bool mine) {
  const int32_t well = mine ? 1 : 0;
  int32_t all = 0;
  communicator.all_reduce(&well, &all, 1, DType::i32, collectives::ReduceOp::min).wait();
  return all == 1;
}

}  // namespace

ReshardReport reshard(ExpertStore& store, const Ownership& owners, const DomainLanes& lanes,
                      MemoryLedger& ledger, const std::vector<collectives::Placement>& holders) {
  HECATE_CHECK(!store.sliced(), "reshard: slices of experts do not move");
  if (stays(store, owners, holders)) return {};
  const std::vector<OwnerMove> moving = moves_to(store, owners, holders, lanes.topology.node_of);
  Arrivals arrivals;
  std::exception_ptr error;
  try {
    store.check_room(owners, holders);
    arrivals = make_room(store, moving, lanes.rank(), ledger);
  } catch (const Error&) {
    error = std::current_exception();
  }
  const bool well = all_well(lanes.dense, !error);
  if (error) std::rethrow_exception(error);
  if (!well) throw DeviceError("reshard: another rank has no room for its experts");
  const ReshardReport report{.moves = std::ssize(moving),
                             .bytes_sent = transfer(store, moving, lanes.sparse, arrivals),
                             .bytes_moved = std::ssize(moving) * kArrays * store.chunks().elements *
                                            static_cast<int64_t>(sizeof(Real)),
                             .changed = true};
  all_well(lanes.dense, true);  // everybody has everything: nothing can go wrong from here on
  store.change_owners(owners, holders);
  const int64_t elements = store.slice().size();
  for (size_t i = 0; i < arrivals.moves.size(); ++i) {
    const OwnedChunk chunk = store.chunk(arrivals.moves[i].layer, arrivals.moves[i].expert);
    Real* const targets[kArrays] = {chunk.own_value, chunk.first_moment, chunk.second_moment};
    for (int64_t array = 0; array < kArrays; ++array)
      std::copy_n(arrivals.at(static_cast<int64_t>(i), array), elements, targets[array]);
  }
  return report;
}

}  // namespace hecate::sharding::exec
