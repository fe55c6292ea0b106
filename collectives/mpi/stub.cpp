#include "collectives/mpi/mpi.h"
#include "runtime/base/error.h"

namespace hecate::collectives::mpi {

struct World::State {};

bool available() {
  return false;
}

std::string version() {
  return "off";
}

bool launched() {
  return false;
}

World::World(const CommunicatorOptions&) {
  throw CommError("this build has no MPI (configure with HECATE_WITH_MPI=ON)");
}

World::~World() = default;

void World::close() {}

void World::abandon() {}

double World::native(Native, const void*, void*, int64_t) const {
  throw CommError("this build has no MPI");
}

}  // namespace hecate::collectives::mpi
