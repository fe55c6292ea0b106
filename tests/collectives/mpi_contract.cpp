// The contract suite on one rank of an MPI job; the exit code says whether it holds.
// "--ranks-per-node N" sets the nodes. Instead of the suite, "--large" moves more than 2^31 bytes
// (77: skipped) and "--mismatches" makes calls on which ranks disagree.
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "collectives/mpi/mpi.h"
#include "runtime/base/error.h"
#include "tests/collectives/contract.h"
#include "tests/collectives/large.h"
#include "tests/collectives/mismatch.h"

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

void disagree(const Communicator& all) {
  int32_t failures = 0, total = 0;
  for (const contract::Mismatch& mismatch : contract::mismatches()) {
    const std::string problem = contract::outcome_of(all, mismatch);
    if (!problem.empty()) ++failures, std::cerr << problem << std::endl;
  }
  all.all_reduce(&failures, &total, 1, hecate::DType::i32, ReduceOp::sum).wait();
  if (total > 0) throw hecate::Error(hecate::concat(total, " mismatches were not seen"));
  if (all.rank() == 0)
    std::cout << "every mismatch was seen by " << all.size() << " ranks" << std::endl;
  all.barrier().wait();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  const bool large = mode == "--large", mismatches = mode == "--mismatches";
  CommunicatorOptions options;
  options.timeout = std::chrono::seconds(mismatches ? 1 : 60);
  options.check_arguments = true;
  // Inside a node segments are 32 times as long.
  if (!large) options.segment_bytes = argc == 3 ? 16 << 10 : 2 << 10;
  if (argc == 3 && mode == "--ranks-per-node") options.ranks_per_node = std::atoi(argv[2]);
  if (large && !contract::reason_to_skip_large().empty()) {
    std::cerr << contract::reason_to_skip_large() << std::endl;
    return 77;
  }
  std::string_view current = "opening the world";
  try {
    mpi::World world(options);
    current = mode;
    if (large) {
      contract::large_transfers_arrive(world.communicator());
    } else if (mismatches) {
      disagree(world.communicator());
    } else {
      run_suite(world, current);
    }
    current = "closing the world";
    world.close();
  } catch (const std::exception& error) {
    std::cerr << current << ": " << error.what() << std::endl;
    std::_Exit(1);
  }
  return 0;
}
