#include <array>
#include <ctime>
#include <iostream>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/report/run_reader.h"
#include "launcher/version.h"
#include "monitoring/report/page.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string out = "report.html";
};

std::string now_text() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 32> text;
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local);
  return text.data();
}

int run(const Options& options) {
  const monitoring::ReportData report = read_report(options.runs);
  io::write_file(options.out, monitoring::report_page(
                                  report, {.made_at = now_text(),
                                           .version = version_number() + " (" + commit() + ")"}));
  std::cout << options.out << std::endl;
  return 0;
}

}  // namespace

void add_report_command(Command root) {
  Command command = root.command(
      "report", "Make one web page of runs: curves, load, time, memory, placement, timeline");
  const auto options = std::make_shared<Options>();
  command.arguments("RUN_DIR", options->runs,
                    "run directories, also of runs that go on, or a population's directory");
  command.option("-o,--out", options->out, "FILE", "where the page goes");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
