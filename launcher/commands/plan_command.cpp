#include <iostream>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/plan/cases.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

struct Options {
  std::string cases, out;
};

int run(const Options& options) {
  HECATE_CHECK(!options.cases.empty(), "plan: --cases FILE is required");
  const std::string answers = plan_cases(io::read_file(options.cases), options.cases);
  if (options.out.empty())
    std::cout << answers << std::flush;
  else
    io::write_file(options.out, answers);
  return 0;
}

}  // namespace

void add_plan_command(Command root) {
  Command command = root.command("plan", "Work out placements of experts");
  const auto options = std::make_shared<Options>();
  command.option("--cases", options->cases, "FILE",
                 "placement cases as JSON: algorithm1, algorithm2, smartmoe, fastermoe, eplb");
  command.option("--out", options->out, "FILE",
                 "where the cases go with their results; else to standard output");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
