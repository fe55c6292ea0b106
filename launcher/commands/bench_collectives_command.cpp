#include <charconv>
#include <filesystem>
#include <iostream>
#include <memory>
#include <sstream>

#include "launcher/bench/collectives_bench.h"
#include "launcher/commands/commands.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

struct Options {
  std::string suites = "dense,sparse,overlap,tokens,plan";
  std::string sizes = "64K,1M,4M,16M,64M";
  std::string expert_sizes = "1M,4M,16M";
  std::string algorithms = "tree,direct,group";
  std::string trace;
  std::string out;
  int64_t repetitions = 9;
  int64_t threads = 2;
  int64_t ranks_per_node = 0;
};

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) words.push_back(word);
  return words;
}

// "64K,1M": bytes, in units of 1024.
std::vector<int64_t> bytes_of(const std::string& option, const std::string& text) {
  std::vector<int64_t> sizes;
  for (const std::string& word : words_of(text)) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    const std::string unit(end, word.data() + word.size());
    const int shift = unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : 0;
    const bool known = unit.empty() || shift > 0;
    HECATE_CHECK(error == std::errc{} && known && value > 0 && value <= (int64_t{1} << 40) >> shift,
                 "bench collectives: ", option, " has '", word,
                 "': expected sizes like 64K,1M (K, M, G)");
    sizes.push_back(value << shift);
  }
  return sizes;
}

int run(const Options& options) {
  HECATE_CHECK(options.repetitions >= 1, "bench collectives: --repetitions ", options.repetitions,
               ", at least 1");
  CollectivesBenchOptions bench;
  bench.figures.suites = words_of(options.suites);
  bench.figures.sizes = bytes_of("--sizes", options.sizes);
  bench.figures.expert_bytes = bytes_of("--expert-sizes", options.expert_sizes);
  bench.figures.algorithms = words_of(options.algorithms);
  bench.figures.repetitions = static_cast<int>(options.repetitions);
  if (std::filesystem::exists(options.trace)) {
    bench.figures.trace_path = options.trace;
  } else if (!options.trace.empty()) {
    std::cerr << "bench collectives: no trace at " << options.trace << ", its cases are left out"
              << std::endl;
  }
  bench.directory = options.out;
  bench.threads = options.threads;
  bench.ranks_per_node = options.ranks_per_node;
  bench_collectives(bench);
  return 0;
}

}  // namespace

void add_bench_collectives_command(Command bench) {
  Command command = bench.command("collectives", "collectives, sparse ones and token exchange");
  const auto options = std::make_shared<Options>();
  command.option("--suites", options->suites, "NAMES", "what to measure");
  command.option("--sizes", options->sizes, "SIZES", "dense collectives: bytes, as 64K,1M");
  command.option("--expert-sizes", options->expert_sizes, "SIZES", "sparse ones: bytes per expert");
  command.option("--algorithms", options->algorithms, "NAMES", "sparse ones: which to compare");
  command.option("--repetitions", options->repetitions, "N", "timed calls per figure");
  command.option("--trace", options->trace, "FILE", "recorded expert loads (.npy) to place by");
  command.option("--out", options->out, "DIR", "gets collectives.jsonl and collectives.svg");
  command.option("--threads", options->threads, "N", "ranks as threads, without mpirun");
  command.option("--ranks-per-node", options->ranks_per_node, "N",
                 "nodes of N ranks each; 0: as found");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
