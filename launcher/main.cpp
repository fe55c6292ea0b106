#include <exception>
#include <new>
#include <string>
#include <vector>

#include "launcher/cli/command_line.h"
#include "launcher/commands/commands.h"
#include "launcher/run/logging.h"
#include "launcher/version.h"
#include "runtime/base/error.h"

int main(int argc, char** argv) {
  try {
    hecate::launcher::CommandLine line(
        "hecate", "Trains mixture-of-experts language models on one process or a cluster",
        hecate::launcher::version_text);
    hecate::launcher::add_commands(line.root());
    return line.run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const hecate::InvalidArgument& error) {
    hecate::launcher::report_failure(error.what());
    return 2;
  } catch (const std::bad_alloc&) {
    hecate::launcher::report_failure("out of memory");
  } catch (const std::exception& error) {
    hecate::launcher::report_failure(error.what());
  }
  return 1;
}
