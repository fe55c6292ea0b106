#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/launch/job.h"
#include "launcher/launch/runner.h"
#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"
#include "runtime/io/file.h"

extern char** environ;

namespace hecate::launcher {
namespace {

struct Options {
  std::string ranks;
  std::string hosts;
  launch::Request request;
  bool no_prefix = false;
  bool dry_run = false;
};

int64_t parse_ranks(const std::string& text) {
  int64_t ranks = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ranks);
  HECATE_CHECK(error == std::errc{} && end == text.data() + text.size() && ranks >= 1,
               "launch: -n is '", text, "': expected a number of ranks, at least 1");
  return ranks;
}

std::optional<std::string> variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

launch::Machine this_machine() {
  launch::Machine machine;
  machine.hecate = std::filesystem::read_symlink("/proc/self/exe").string();
  cpu_set_t cores;
  if (::sched_getaffinity(0, sizeof cores, &cores) == 0) machine.cores = CPU_COUNT(&cores);
  machine.root = ::geteuid() == 0;
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view text = *each;
    machine.variables.emplace_back(text.substr(0, text.find('=')));
  }
  std::sort(machine.variables.begin(), machine.variables.end());
  machine.slurm = launch::slurm_job(variable);
  return machine;
}

// Found out here and not by every rank.
void check_program(const std::vector<std::string>& program, const std::vector<std::string>& known) {
  const std::string& command = program.front();
  if (command == "--version" || command == "--help") return;
  HECATE_CHECK(command != "launch", "launch: cannot launch itself");
  if (std::find(known.begin(), known.end(), command) != known.end()) return;
  const std::string nearest = nearest_name(command, known);
  throw InvalidArgument(concat("launch: unknown command '", command, "' after --",
                               nearest.empty() ? "" : "; nearest: " + nearest));
}

int run(Options options, const Command& root) {
  launch::Request& request = options.request;
  check_program(request.program, root.names());
  if (!options.ranks.empty()) request.ranks = parse_ranks(options.ranks);
  request.prefix = !options.no_prefix;
  if (!options.hosts.empty()) {
    request.hosts = launch::parse_hosts(io::read_file(options.hosts), options.hosts);
    request.hosts_source = options.hosts;
  }
  const launch::Job job = launch::compose(request, this_machine());
  if (options.dry_run) {
    std::cout << launch::shell_line(job.argv) << "\n";
    return 0;
  }
  return launch::run_job(job);
}

}  // namespace

void add_launch_command(Command root) {
  Command command =
      root.command("launch", "Start a command as several ranks: launch -n 2 -- train");
  const auto options = std::make_shared<Options>();
  launch::Request& request = options->request;
  command.option("-n,--ranks", options->ranks, "N",
                 "ranks, one per device; default: every slot of --hosts, or the Slurm job's tasks");
  command.option("--hosts", options->hosts, "FILE",
                 "hosts to run on, a line 'NAME [slots=N]' each; default: this machine");
  command.flag("--slurm", request.slurm,
               "start with srun; inside a Slurm job that happens without asking");
  command.option("--slurm-mpi", request.slurm_mpi, "NAME", "srun's --mpi plugin");
  command.flag("--oversubscribe", request.oversubscribe, "allow more ranks than slots");
  command.option("--bind", request.bind, "WHERE",
                 "what a rank is bound to: auto, none, numa or core");
  command.option("--cores-per-rank", request.cores_per_rank, "N",
                 "bind every rank to N cores of its own; 0: as --bind says");
  command.option("--interface", request.interface, "NET",
                 "network between hosts, a device or a.b.c.d/n");
  command.option("--export", request.exports, "NAME[=VALUE]",
                 "variable that every rank gets; may be repeated");
  command.flag("--enable-recovery", request.enable_recovery,
               "mpirun: a rank that dies does not end the others");
  command.option("--options", request.extra, "TEXT", "further options of mpirun or srun");
  command.flag("--no-prefix", options->no_prefix, "leave the ranks' output as it is");
  command.flag("--dry-run", options->dry_run, "only print the line that would run");
  command.arguments("command", request.program, "the command and its arguments, after --");
  command.action([options, root] { return run(*options, root); });
}

}  // namespace hecate::launcher
