// The figures of the collectives under mpirun: "collectives_bench SUITE[,SUITE...] [JSONL
// [TRACE]]".
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "collectives/bench/bench.h"
#include "collectives/mpi/mpi.h"

using namespace hecate::collectives;

namespace {

std::vector<int64_t> numbers(const std::string& text) {
  std::vector<int64_t> result;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');)
    result.push_back(std::atoll(word.c_str()));
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  bench::Options options;
  options.table = &std::cout;
  std::ofstream jsonl;
  if (argc > 1) {
    options.suites.clear();
    std::istringstream names(argv[1]);
    for (std::string name; std::getline(names, name, ',');) options.suites.push_back(name);
  }
  if (argc > 2 && argv[2][0] != '\0') {
    jsonl.open(argv[2], std::ios::app);
    options.jsonl = &jsonl;
  }
  if (argc > 3) options.trace_path = argv[3];
  if (const char* text = std::getenv("BENCH_REPETITIONS")) options.repetitions = std::atoi(text);
  if (const char* text = std::getenv("BENCH_SIZES")) options.sizes = numbers(text);
  if (const char* text = std::getenv("BENCH_EXPERT_BYTES")) options.expert_bytes = numbers(text);
  try {
    mpi::World world(CommunicatorOptions{});
    const bench::NativeCall native = [&](bench::Dense call, const void* in, void* out, int64_t n) {
      return world.native(static_cast<mpi::World::Native>(call), in, out, n);
    };
    bench::run(world.communicator(), native, options);
    world.close();
  } catch (const std::exception& error) {
    std::cerr << "collectives_bench: " << error.what() << std::endl;
    std::_Exit(1);
  }
  return 0;
}
