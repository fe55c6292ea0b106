#include <iostream>
#include <memory>
#include <sstream>

#include "launcher/commands/commands.h"
#include "launcher/suite/paper.h"
#include "launcher/suite/scaling.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

struct Options {
  std::string out, trace, clusters = "configs/clusters", strategies;
  bool quick = false, fresh = false;
};

suite::RunnerOptions runner_of(const Options& options, const char* name) {
  HECATE_CHECK(std::filesystem::is_directory(options.clusters), "bench ", name,
               ": no profiles of clusters in ", options.clusters, "; give --clusters");
  suite::RunnerOptions runner;
  runner.out = options.out.empty() ? std::string("bench-") + name : options.out;
  runner.clusters = options.clusters;
  runner.fresh = options.fresh;
  runner.progress = [](const std::string& line) { std::cerr << line << std::endl; };
  return runner;
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream in(text);
  for (std::string word; std::getline(in, word, ',');) words.push_back(word);
  return words;
}

std::shared_ptr<Options> declare(Command& command) {
  auto options = std::make_shared<Options>();
  command.option("--out", options->out, "FOLDER",
                 "gets results as JSONL and report.html; results that are there are not run again");
  command.option("--trace", options->trace, "FILE", "recorded loads [sample, rank, layer, expert]");
  command.option("--clusters", options->clusters, "FOLDER", "profiles of clusters");
  command.flag("--quick", options->quick, "a small part of the cells");
  command.flag("--fresh", options->fresh, "runs everything anew");
  return options;
}

}  // namespace

void add_bench_suite_commands(Command bench) {
  Command paper = bench.command("paper", "the evaluation of arXiv 2502.02581, simulated");
  const auto of_paper = declare(paper);
  paper.action([of_paper] {
    std::cout << suite::run_paper({.runner = runner_of(*of_paper, "paper"),
                                   .trace = of_paper->trace,
                                   .quick = of_paper->quick});
    return 0;
  });
  Command scaling = bench.command("scaling", "every strategy on 8 to 4096 devices, simulated");
  const auto of_scaling = declare(scaling);
  scaling.option("--strategies", of_scaling->strategies, "NAMES",
                 "comma-separated; all by default");
  scaling.action([of_scaling] {
    std::cout << suite::run_scaling({.runner = runner_of(*of_scaling, "scaling"),
                                     .trace = of_scaling->trace,
                                     .strategies = words_of(of_scaling->strategies),
                                     .quick = of_scaling->quick});
    return 0;
  });
}

}  // namespace hecate::launcher
