#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "collectives/communicator.h"
#include "collectives/mesh.h"

namespace hecate::collectives {

struct WorldOptions {
  MeshShape shape;
  DomainSpec domain;
  /// Lanes that communicators are made for.
  std::vector<LaneKind> lanes = {LaneKind::dispatch, LaneKind::sparse, LaneKind::dense};
};

/// One rank's view of the job: who takes part, who is where in the mesh, and the communicators to
/// reach them. Nothing long-lived stores a rank number or a communicator; it asks the World, and
/// asks again when the epoch has changed.
///
/// Groups of the same ranks share one communicator per lane. That is safe because a lane is an
/// in-order queue with one caller at a time, and all ranks launch a lane's collectives in the same
/// order.
class World {
 public:
  /// All ranks of `all` must call, with equal options. Blocks.
  /// @throws InvalidArgument as Mesh::make; CommError as every collective.
  explicit World(Communicator all, const WorldOptions& options = {});

  /// The ranks have changed: new mesh and communicators from `all`, which every rank of the new
  /// job calls with (newcomers construct a World instead). Blocks. When it throws, nothing has
  /// changed here. Earlier communicators stay usable among their ranks as long as someone holds
  /// them.
  void reform(Communicator all, const WorldOptions& options);

  /// 1 after the first forming, larger after every reform; equal on all ranks.
  int64_t epoch() const { return state_.epoch; }
  int rank() const { return state_.all.rank(); }
  int size() const { return state_.all.size(); }
  const Mesh& mesh() const { return state_.mesh; }

  /// All ranks.
  const Communicator& world(LaneKind lane) const { return get(lane, Scope::world); }
  /// The ranks of this one's data-parallel group.
  const Communicator& data(LaneKind lane) const { return get(lane, Scope::data); }
  /// Those of its domain: rank in the communicator = place in the domain.
  const Communicator& domain(LaneKind lane) const { return get(lane, Scope::domain); }
  /// Its counterparts: rank in the communicator = number of the domain.
  const Communicator& replica(LaneKind lane) const { return get(lane, Scope::replica); }

 private:
  enum class Scope : uint8_t { world, data, domain, replica };
  static constexpr size_t kScopes = 4;
  using Groups = std::array<Communicator, kScopes>;
  struct State {
    Communicator all;
    int64_t epoch = 0;
    Mesh mesh;
    std::array<Groups, kLanes> groups;  // empty where the lane was not asked for
  };

  static State form(Communicator all, const WorldOptions& options, int64_t last_epoch);
  static Groups form_groups(const Communicator& all, const Mesh& mesh, LaneKind lane);
  const Communicator& get(LaneKind lane, Scope scope) const;

  State state_;
};

}  // namespace hecate::collectives
