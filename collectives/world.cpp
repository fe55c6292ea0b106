#include "collectives/world.h"

#include <algorithm>
#include <utility>

#include "runtime/base/error.h"

namespace hecate::collectives {

World::World(Communicator all, const WorldOptions& options)
    : state_(form(std::move(all), options, /*last_epoch=*/0)) {}

void World::reform(Communicator all, const WorldOptions& options) {
  state_ = form(std::move(all), options, state_.epoch);
}

World::State World::form(Communicator all, const WorldOptions& options, int64_t last_epoch) {
  HECATE_CHECK(static_cast<bool>(all), "world: no communicator");
  State state;
  state.mesh = Mesh::make(all.nodes(), options.shape, options.domain);
  // Newcomers know of no earlier epoch.
  all.all_reduce(&last_epoch, &state.epoch, 1, DType::i64, ReduceOp::max).wait();
  ++state.epoch;
  for (LaneKind lane : options.lanes)
    state.groups[static_cast<size_t>(lane)] = form_groups(all, state.mesh, lane);
  state.all = std::move(all);
  return state;
}

World::Groups World::form_groups(const Communicator& all, const Mesh& mesh, LaneKind lane) {
  // A group is named by its lowest rank, plus one: 0 means everybody. All ranks make the same
  // splits in the same order.
  const int me = all.rank();
  const auto split = [&](const std::vector<int>& ranks) {
    int place = 0;
    while (ranks[static_cast<size_t>(place)] != me) ++place;
    return all.split(1 + *std::min_element(ranks.begin(), ranks.end()), place, lane);
  };
  const bool one_data_group = mesh.shape().dp == mesh.ranks();
  Communicator world = all.on_lane(lane);
  Communicator data = one_data_group ? world : split(mesh.data_ranks(me));
  Communicator domain = mesh.domains() == 1 ? data : split(mesh.domain_ranks(me));
  Communicator replica = mesh.domain_size() == 1 ? data : split(mesh.replica_ranks(me));
  return {std::move(world), std::move(data), std::move(domain), std::move(replica)};
}

const Communicator& World::get(LaneKind lane, Scope scope) const {
  const Communicator& found = state_.groups[static_cast<size_t>(lane)][static_cast<size_t>(scope)];
  HECATE_CHECK(static_cast<bool>(found), "world: no communicators were made for lane ",
               name_of(lane));
  return found;
}

}  // namespace hecate::collectives
