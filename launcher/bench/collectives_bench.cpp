#include "launcher/bench/collectives_bench.h"

#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <thread>
#include <vector>

#include "collectives/bench/plot.h"
#include "collectives/inproc/inproc.h"
#include "collectives/mpi/mpi.h"
#include "launcher/bench/machine.h"
#include "launcher/version.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

namespace bench = collectives::bench;

bench::Record machine_record() {
  bench::Record record("machine", "this");
  record.add("processors", std::thread::hardware_concurrency())
      .add("cpu", cpu_name())
      .add("commit", commit())
      .add("mpi", collectives::mpi::version());
  return record;
}

// Writes what rank 0 has seen.
class Output {
 public:
  explicit Output(const std::string& directory) : directory_(directory) {
    if (!directory.empty()) {
      std::filesystem::create_directories(directory);
      jsonl_.open(directory + "/collectives.jsonl");
      if (!jsonl_) throw IoError(concat("cannot write ", directory, "/collectives.jsonl"));
    }
    report_.add(machine_record());
  }
  bench::Report& report() { return report_; }
  void draw() const {
    if (directory_.empty()) return;
    const std::string path = directory_ + "/collectives.svg";
    std::ofstream file(path);
    file << bench::plot_svg(report_.records());
    if (!file.flush()) throw IoError(concat("cannot write ", path));
  }

 private:
  std::string directory_;
  std::ofstream jsonl_;
  bench::Report report_{&std::cout, &jsonl_};
};

void run_on_processes(const CollectivesBenchOptions& options,
                      const collectives::CommunicatorOptions& world_options) {
  namespace mpi = collectives::mpi;
  mpi::World world(world_options);
  const bench::NativeCall native = [&](bench::Dense call, const void* in, void* out, int64_t n) {
    return world.native(static_cast<mpi::World::Native>(call), in, out, n);
  };
  if (world.communicator().rank() == 0) {
    Output output(options.directory);
    bench::run(world.communicator(), native, options.figures, output.report());
    output.draw();
  } else {
    bench::Report nobody(nullptr, nullptr);
    bench::run(world.communicator(), native, options.figures, nobody);
  }
  world.close();
}

void run_on_threads(const CollectivesBenchOptions& options,
                    const collectives::CommunicatorOptions& world_options) {
  auto ranks = collectives::inproc::create(static_cast<int>(options.threads), world_options);
  Output output(options.directory);
  std::vector<std::exception_ptr> errors(ranks.size());
  std::vector<std::thread> threads;
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    threads.emplace_back([&, rank] {
      try {
        bench::Report nobody(nullptr, nullptr);
        bench::run(ranks[rank], {}, options.figures, rank == 0 ? output.report() : nobody);
      } catch (...) {
        errors[rank] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  output.draw();
}

}  // namespace

void bench_collectives(const CollectivesBenchOptions& options) {
  HECATE_CHECK(options.threads >= 1 && options.threads <= 64, "bench collectives: --threads ",
               options.threads, ", expected 1 to 64");
  HECATE_CHECK(options.ranks_per_node >= 0, "bench collectives: --ranks-per-node ",
               options.ranks_per_node, ", expected 0 or more");
  collectives::CommunicatorOptions world_options;
  world_options.ranks_per_node = static_cast<int>(options.ranks_per_node);
  collectives::mpi::launched() ? run_on_processes(options, world_options)
                               : run_on_threads(options, world_options);
}

}  // namespace hecate::launcher
