// One rank of a job in which the last rank fails:
// "mpi_fault (kill|stall|freeze) (before|inside|after) FLIGHT_DIRECTORY".
// Survivors exit with 3 after a CommError, which they print; one of them adds who is to blame.
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string_view>
#include <thread>
#include <vector>

#include "collectives/flight_comparison.h"
#include "collectives/mpi/mpi.h"
#include "runtime/base/error.h"

using namespace hecate::collectives;

namespace {

constexpr int64_t kCount = 4 << 20;

void fail(std::string_view how) {
  if (how == "kill") raise(SIGKILL);
  if (how == "freeze") raise(SIGSTOP);
  std::this_thread::sleep_for(std::chrono::seconds(5));
  std::_Exit(4);
}

void use(const Communicator& all, std::string_view how, std::string_view when) {
  const bool faulty = all.rank() == all.size() - 1;
  std::vector<float> in(kCount, 1.0f), out(kCount);
  all.barrier().wait();
  if (faulty && when == "before") fail(how);
  const Work work =
      all.all_reduce(in.data(), out.data(), kCount, hecate::DType::f32, ReduceOp::sum);
  if (faulty && when == "inside") {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    fail(how);
  }
  work.wait();
  if (faulty && when == "after") fail(how);
  all.barrier().wait();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  CommunicatorOptions options;
  options.timeout = std::chrono::seconds(1);
  options.flight_directory = argv[3];
  int rank = -1;
  try {
    mpi::World world(options);
    rank = world.communicator().rank();
    use(world.communicator(), argv[1], argv[2]);
    world.close();
  } catch (const hecate::CommError& error) {
    std::cerr << "survivor: " << error.what() << std::endl;
    std::cerr << report_failure(options.flight_directory, rank, std::chrono::milliseconds(500))
              << std::flush;
    std::_Exit(3);
  }
  return 0;
}
