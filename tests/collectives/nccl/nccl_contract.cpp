// The contract suite on one rank of a job with a GPU for every rank; 77: there are not enough.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string_view>

#include "collectives/mpi/mpi.h"
#include "collectives/nccl/nccl.h"
#include "runtime/base/error.h"
#include "tests/collectives/contract.h"

using namespace hecate::collectives;

namespace {

// Ranks of this node, and how many of them come before this one.
std::pair<int, int> place_on_node(const Communicator& all) {
  const auto nodes = all.nodes();
  const int mine = nodes[static_cast<size_t>(all.rank())];
  const auto before = nodes.begin() + all.rank();
  return {static_cast<int>(std::count(nodes.begin(), nodes.end(), mine)),
          static_cast<int>(std::count(nodes.begin(), before, mine))};
}

bool everybody_has_a_device(const Communicator& all) {
  int32_t enough = nccl::devices() >= place_on_node(all).first ? 1 : 0, everywhere = 0;
  all.all_reduce(&enough, &everywhere, 1, hecate::DType::i32, ReduceOp::min).wait();
  return everywhere == 1;
}

void run_suite(const Communicator& all, const CommunicatorOptions& options, bool ordered,
               std::string_view& current) {
  nccl::Options nccl_options;
  nccl_options.device = place_on_node(all).second;
  nccl_options.ordered_sums = ordered;
  nccl_options.segment_bytes = 64 << 10;  // several in small tests
  const Communicator group = nccl::create(all, options, nccl_options);
  for (const contract::Case& test : contract::cases()) {
    current = test.name;
    test.run(group);
    group.barrier().wait();
  }
}

}  // namespace

int main() {
  CommunicatorOptions options;
  options.timeout = std::chrono::seconds(60);
  std::string_view current = "opening the world";
  try {
    mpi::World world(options);
    if (!everybody_has_a_device(world.communicator())) {
      world.close();
      return 77;
    }
    for (bool ordered : {false, true}) run_suite(world.communicator(), options, ordered, current);
    current = "closing the world";
    world.close();
  } catch (const std::exception& error) {
    std::cerr << current << ": " << error.what() << std::endl;
    std::_Exit(1);
  }
  return 0;
}
