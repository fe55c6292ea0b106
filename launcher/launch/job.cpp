#include "launcher/launch/job.h"

#include <algorithm>
#include <iterator>
#include <sstream>

#include "runtime/base/error.h"

namespace hecate::launch {
namespace {

using Words = std::vector<std::string>;

// The ranks' places: hosts, or the nodes of a Slurm job.
struct Layout {
  int64_t ranks = 0;
  std::vector<Host> hosts;
  bool crowded = false;      // more ranks than slots
  bool one_per_host = true;  // so a rank may use the whole machine
};

int64_t checked_ranks(const Request& request, int64_t otherwise) {
  if (request.ranks) {
    HECATE_CHECK(*request.ranks >= 1, "launch: -n ", *request.ranks, ": expected at least 1 rank");
    return *request.ranks;
  }
  HECATE_CHECK(otherwise > 0, "launch: -n N is required: the number of ranks");
  return otherwise;
}

Layout lay_out(const Request& request, std::vector<Host> hosts, int64_t otherwise,
               const std::string& what) {
  Layout layout{.ranks = checked_ranks(request, otherwise), .hosts = std::move(hosts)};
  const int64_t slots = total_slots(layout.hosts);
  layout.crowded = layout.ranks > slots;
  HECATE_CHECK(!layout.crowded || request.oversubscribe, "launch: ", layout.ranks, " ranks, but ",
               what, " ", slots, slots == 1 ? " slot" : " slots", " on ", layout.hosts.size(),
               layout.hosts.size() == 1 ? " host" : " hosts",
               "; ask for fewer, or let ranks share with --oversubscribe");
  for (const int64_t count : fill(layout.hosts, layout.ranks))
    layout.one_per_host = layout.one_per_host && count <= 1;
  return layout;
}

std::string binding(const Request& request, const Layout& layout) {
  if (request.bind != "auto") return request.bind;
  if (request.cores_per_rank > 0) return "core";
  return layout.crowded || layout.one_per_host ? "none" : "numa";
}

void append(Words& words, Words more) {
  std::move(more.begin(), more.end(), std::back_inserter(words));
}

Words split(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

bool travels(const std::string& name) {
  return name == "LD_LIBRARY_PATH" || name.starts_with("HECATE_") || name.starts_with("NCCL_") ||
         name.starts_with("CUDA_VISIBLE_");
}

void append_program(Words& words, const Request& request, const Machine& machine) {
  append(words, split(request.extra));
  words.push_back(machine.hecate);
  append(words, request.program);
}

Layout mpirun_layout(const Request& request, const Machine& machine) {
  if (!request.hosts.empty())
    return lay_out(request, request.hosts, total_slots(request.hosts),
                   request.hosts_source + " has");
  const int64_t slots = machine.cores / std::max<int64_t>(1, request.cores_per_rank);
  return lay_out(request, {{"localhost", std::max<int64_t>(1, slots)}}, 0, "this machine has");
}

Job compose_mpirun(const Request& request, const Machine& machine) {
  const Layout layout = mpirun_layout(request, machine);
  std::string hosts;
  for (const Host& host : layout.hosts)
    hosts += concat(hosts.empty() ? "" : ",", host.name, ":", host.slots);

  Words words = {"mpirun"};
  if (machine.root) append(words, {"--allow-run-as-root"});
  if (request.prefix) append(words, {"--tag-output"});
  append(words, {"-n", concat(layout.ranks), "--host", hosts});
  append(words, {"--map-by", request.cores_per_rank > 0 ? concat("slot:PE=", request.cores_per_rank)
                                                        : std::string("slot")});
  append(words, {"--bind-to", binding(request, layout)});
  if (layout.crowded) append(words, {"--oversubscribe", "--mca", "mpi_yield_when_idle", "1"});
  if (!request.interface.empty())
    append(words, {"--mca", "btl_tcp_if_include", request.interface, "--mca", "oob_tcp_if_include",
                   request.interface});
  for (const std::string& name : machine.variables)
    if (travels(name)) append(words, {"-x", name});
  for (const std::string& each : request.exports) append(words, {"-x", each});
  if (request.enable_recovery) append(words, {"--enable-recovery"});
  append_program(words, request, machine);
  return {.starter = Starter::mpirun,
          .ranks = layout.ranks,
          .prefix = request.prefix,
          .argv = std::move(words)};
}

// An allocation's nodes. Outside one, srun makes an allocation of the right size.
Layout slurm_layout(const Request& request, const Machine& machine) {
  if (!machine.slurm || machine.slurm->tasks == 0) {
    const int64_t ranks = checked_ranks(request, 0);
    const int64_t nodes = machine.slurm ? machine.slurm->nodes : 1;
    return {.ranks = ranks,
            .hosts = {},
            .crowded = request.oversubscribe,
            .one_per_host = ranks <= nodes};
  }
  const SlurmJob& job = *machine.slurm;
  std::vector<Host> hosts;
  for (const int64_t tasks : job.tasks_per_node) hosts.push_back({"", tasks});
  if (hosts.empty()) hosts.push_back({"", job.tasks});
  return lay_out(request, std::move(hosts), job.tasks, "Slurm job " + job.id + " has");
}

Job compose_srun(const Request& request, const Machine& machine) {
  HECATE_CHECK(request.hosts.empty(), "launch: --slurm takes its hosts from Slurm; drop --hosts ",
               request.hosts_source);
  HECATE_CHECK(!request.enable_recovery,
               "launch: --enable-recovery is mpirun's; srun ends the job when a rank dies");
  const Layout layout = slurm_layout(request, machine);
  Words words;
  Words variables = request.exports;
  if (layout.crowded) variables.push_back("OMPI_MCA_mpi_yield_when_idle=1");
  if (!request.interface.empty())
    variables.push_back("OMPI_MCA_btl_tcp_if_include=" + request.interface);
  // srun hands its own environment on.
  std::erase_if(variables,
                [](const std::string& each) { return each.find('=') == std::string::npos; });
  if (!variables.empty()) append(words, {"env"});
  append(words, variables);
  append(words, {"srun", concat("--ntasks=", layout.ranks), "--kill-on-bad-exit=1",
                 "--mpi=" + request.slurm_mpi, "--distribution=block"});
  if (request.prefix) append(words, {"--label"});
  if (request.cores_per_rank > 0)
    append(words, {concat("--cpus-per-task=", request.cores_per_rank)});
  const std::string bind = binding(request, layout);
  append(words, {"--cpu-bind=" + std::string(bind == "core"   ? "cores"
                                             : bind == "numa" ? "ldoms"
                                                              : "none")});
  if (layout.crowded) append(words, {"--overcommit"});
  append_program(words, request, machine);
  return {.starter = Starter::srun,
          .ranks = layout.ranks,
          .prefix = request.prefix,
          .argv = std::move(words)};
}

bool plain(const std::string& word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("@%+=:,./-_").find(c) != std::string_view::npos;
  });
}

}  // namespace

Job compose(const Request& request, const Machine& machine) {
  const Words known = {"auto", "none", "numa", "core"};
  HECATE_CHECK(std::find(known.begin(), known.end(), request.bind) != known.end(),
               "launch: --bind '", request.bind, "': expected auto, none, numa or core");
  HECATE_CHECK(request.cores_per_rank >= 0, "launch: --cores-per-rank ", request.cores_per_rank,
               ": expected at least 1, or 0 for as it comes");
  HECATE_CHECK(request.cores_per_rank == 0 || request.bind == "auto" || request.bind == "core",
               "launch: --cores-per-rank binds to cores; drop --bind ", request.bind);
  const bool srun = request.slurm || (machine.slurm && request.hosts.empty());
  return srun ? compose_srun(request, machine) : compose_mpirun(request, machine);
}

std::string shell_line(const std::vector<std::string>& argv) {
  std::string line;
  for (const std::string& word : argv) {
    if (!line.empty()) line += ' ';
    if (plain(word)) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) c == '\'' ? line += "'\\''" : line += c;
    line += '\'';
  }
  return line;
}

}  // namespace hecate::launch
