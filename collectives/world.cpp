#include "collectives/world.h"

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
  // All ranks make the same groups in the same order.
  const int me = all.rank();
  const bool one_data_group = mesh.shape().dp == mesh.ranks();
  Communicator world = all.on_lane(lane);
  Communicator data = one_data_group ? world : all.subgroup(mesh.data_ranks(me), lane);
  Communicator domain = mesh.domains() == 1 ? data : all.subgroup(mesh.domain_ranks(me), lane);
  Communicator replica =
      mesh.domain_size() == 1 ? data : all.subgroup(mesh.replica_ranks(me), lane);
  return {std::move(world), std::move(data), std::move(domain), std::move(replica)};
}

const Communicator& World::get(LaneKind lane, Scope scope) const {
  const Communicator& found = state_.groups[static_cast<size_t>(lane)][static_cast<size_t>(scope)];
  HECATE_CHECK(static_cast<bool>(found), "world: no communicators were made for lane ",
               name_of(lane));
  return found;
}

}  // namespace hecate::collectives
