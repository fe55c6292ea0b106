#include <iostream>
#include <memory>

#include "collectives/flight_comparison.h"
#include "launcher/commands/commands.h"

namespace hecate::launcher {
namespace {

int run(const std::string& path) {
  const collectives::FlightComparison comparison =
      collectives::compare(collectives::read_records(path));
  std::cout << (comparison.text.empty() ? "every operation on record ended\n" : comparison.text);
  return 0;
}

}  // namespace

void add_flight_command(Command root) {
  Command command =
      root.command("flight", "Compare the ranks' flight records after a communication failure");
  const auto path = std::make_shared<std::string>();
  command.argument("PATH", *path, "directory with flight-<rank>.txt, or a job's error output",
                   true);
  command.action([path] { return run(*path); });
}

}  // namespace hecate::launcher
