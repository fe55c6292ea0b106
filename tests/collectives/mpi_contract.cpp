// The contract suite on one rank of an MPI job; the exit code says whether it holds.
// "--ranks-per-node N" sets the nodes, "--large" moves more than 2^31 bytes instead (77: skipped).
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "collectives/mpi/mpi.h"
#include "runtime/base/error.h"
#include "tests/collectives/contract.h"
#include "tests/collectives/large.h"

using namespace hecate::collectives;

namespace {

void run_suite(const mpi::World& world, std::string_view& current) {
  const Communicator all = world.communicator();
  for (const contract::Case& test : contract::cases()) {
    current = test.name;
    test.run(all);
    all.barrier().wait();
  }
  current = "asking for the communicator again";
  // The same group: what is made from either has numbers of its own.
  const Communicator again = world.communicator().on_lane(hecate::LaneKind::sparse);
  const Communicator other = all.on_lane(hecate::LaneKind::dense);
  contract::cases()[0].run(again);
  other.barrier().wait();
  if (&world.communicator().backend() != &all.backend()) throw hecate::Error("another group");
}

}  // namespace

int main(int argc, char** argv) {
  const bool large = argc == 2 && std::string_view(argv[1]) == "--large";
  CommunicatorOptions options;
  options.timeout = std::chrono::seconds(60);
  options.check_arguments = true;
  if (!large) options.segment_bytes = 16 << 10;
  if (argc == 3 && std::string_view(argv[1]) == "--ranks-per-node")
    options.ranks_per_node = std::atoi(argv[2]);
  if (large && !contract::reason_to_skip_large().empty()) {
    std::cerr << contract::reason_to_skip_large() << std::endl;
    return 77;
  }
  std::string_view current = "opening the world";
  try {
    mpi::World world(options);
    current = "moving more than 2 GiB";
    large ? contract::large_transfers_arrive(world.communicator()) : run_suite(world, current);
    current = "closing the world";
    world.close();
  } catch (const std::exception& error) {
    std::cerr << current << ": " << error.what() << std::endl;
    std::_Exit(1);
  }
  return 0;
}
