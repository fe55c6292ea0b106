#include "launcher/simulate/report.h"

#include <algorithm>
#include <fstream>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/base/error.h"
#include "runtime/device/lane.h"
#include "runtime/trace/trace_writer.h"

namespace hecate::launcher {
namespace {

constexpr int kShownDevices = 64;

nlohmann::ordered_json kinds(const ByKind& values) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (size_t kind = 0; kind < values.size(); ++kind)
    if (values[kind] > 0)
      out[std::string(graph::name_of(static_cast<graph::OpKind>(kind)))] = values[kind];
  return out;
}

void write_kinds(std::ostream& out, const char* title, const ByKind& values, double scale,
                 const char* unit, double whole) {
  out << title << "\n";
  for (size_t kind = 0; kind < values.size(); ++kind) {
    if (values[kind] <= 0) continue;
    out << "  " << std::left << std::setw(14) << graph::name_of(static_cast<graph::OpKind>(kind))
        << std::right << std::setw(12) << values[kind] * scale << unit;
    if (whole > 0)
      out << std::setw(8) << std::setprecision(1) << 100 * values[kind] / whole << " %"
          << std::setprecision(3);
    out << "\n";
  }
}

int64_t nanoseconds(double seconds) {
  return static_cast<int64_t>(1e9 * seconds);
}

void write_run(trace::TraceWriter& writer, const StepTiming::RunOf& run, int rank) {
  for (size_t op = 0; op < run.record.ops(); ++op) {
    const auto& entry = run.record.at(op, rank);
    if (entry.begin < 0 || entry.end <= entry.begin) continue;
    const sharding::sim::Op& each = run.program->program.ops[op];
    writer.slice({.row = {.process = rank, .thread = each.lane},
                  .name = each.name,
                  .category = graph::name_of(static_cast<graph::OpKind>(each.kind)),
                  .begin = nanoseconds(entry.begin),
                  .end = nanoseconds(entry.end),
                  .details = {}});
  }
}

}  // namespace

std::string to_text(const SimulationResult& result) {
  const SimulatedStep& step = median_step(result);
  std::ostringstream out;
  out << std::fixed << std::setprecision(6) << "step " << result.step_seconds << " s, "
      << std::setprecision(0) << static_cast<double>(result.tokens) / result.step_seconds
      << " tokens/s\n"
      << std::setprecision(3) << "t = " << result.overlap_degree
      << ", m = " << result.memory_capacity << "; busiest device over the mean: " << step.imbalance
      << " (worst layer " << step.worst_imbalance << ")\n"
      << "moving owners: " << 1e3 * result.moved_seconds_per_step << " ms and "
      << 1e-6 * result.moved_bytes_per_step << " MB per step\n"
      << "experts' part of a layer: " << 1e3 * step.layer_seconds << " ms, bound "
      << 1e3 * step.bound_seconds << " ms\n";
  write_kinds(out, "critical path:", step.critical, 1e3, " ms", step.seconds);
  write_kinds(out, "waits of the compute lane:", step.waited, 1e3, " ms", 0);
  write_kinds(out, "busiest link:", step.link_bytes, 1e-6, " MB", 0);
  out << "memory of the fullest device: " << result.memory_gib << " GiB"
      << (result.fits ? "" : ", more than there is") << "\n";
  for (size_t i = 0; i < kMemoryCategories; ++i)
    if (result.memory[i] > 0)
      out << "  " << std::left << std::setw(14) << name_of(static_cast<MemoryCategory>(i))
          << std::right << std::setw(12) << static_cast<double>(result.memory[i]) / (1 << 20)
          << " MiB\n";
  out << "simulated " << result.operations << " operations on " << result.simulated_devices
      << " devices: loads " << result.loads_seconds << " s, graph " << result.graph_seconds
      << " s, plans " << result.plan_seconds << " s, replay " << result.replay_seconds << " s\n";
  return out.str();
}

std::string to_json(const SimulationResult& result) {
  const SimulatedStep& step = median_step(result);
  nlohmann::ordered_json memory = nlohmann::ordered_json::object();
  for (size_t i = 0; i < kMemoryCategories; ++i)
    memory[std::string(name_of(static_cast<MemoryCategory>(i)))] = result.memory[i];
  return nlohmann::ordered_json{{"step_seconds", result.step_seconds},
                                {"moved_seconds_per_step", result.moved_seconds_per_step},
                                {"moved_bytes_per_step", result.moved_bytes_per_step},
                                {"overlap_degree", result.overlap_degree},
                                {"memory_capacity", result.memory_capacity},
                                {"imbalance", step.imbalance},
                                {"worst_imbalance", step.worst_imbalance},
                                {"layer_seconds", step.layer_seconds},
                                {"bound_seconds", step.bound_seconds},
                                {"critical_seconds", kinds(step.critical)},
                                {"waited_seconds", kinds(step.waited)},
                                {"busiest_link_bytes", kinds(step.link_bytes)},
                                {"memory_bytes", memory},
                                {"memory_gib", result.memory_gib},
                                {"fits", result.fits},
                                {"tokens", result.tokens},
                                {"simulated_devices", result.simulated_devices},
                                {"operations", result.operations}}
      .dump();
}

void write_timeline(std::span<const StepTiming::RunOf> runs, const std::filesystem::path& path) {
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path);
  trace::TraceWriter writer(file);
  const int ranks = std::min(kShownDevices, runs.front().record.ranks());
  for (int rank = 0; rank < ranks; ++rank) {
    writer.name_process(rank, concat("device ", rank), rank);
    for (size_t lane = 0; lane < kLanes; ++lane)
      writer.name_row({.process = rank, .thread = static_cast<int64_t>(lane)},
                      name_of(static_cast<LaneKind>(lane)), static_cast<int64_t>(lane));
    for (const StepTiming::RunOf& run : runs) write_run(writer, run, rank);
  }
  writer.finish();
  if (!file.flush()) throw IoError(concat("cannot write ", path.string()));
}

}  // namespace hecate::launcher
