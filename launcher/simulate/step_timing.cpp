#include "launcher/simulate/step_timing.h"

#include <algorithm>
#include <numeric>

namespace hecate::launcher {
namespace {

namespace sim = sharding::sim;

std::vector<sim::Traffic> fixed_traffic(const StepProgram& program, const StepTiming::Setup& in) {
  std::vector<sim::Traffic> traffic(program.moves.size());
  for (size_t i = 0; i < traffic.size(); ++i) {
    const Moves moves = program.moves[i];
    if (moves != Moves::counts && moves != Moves::dense) continue;
    double bytes = program.wire_bytes[i];
    if (moves == Moves::counts) bytes *= in.all.devices;
    traffic[i] = sim::all_gather_traffic(bytes, in.all, *in.resources);
  }
  return traffic;
}

// Whether the operation works on rows on their way to experts and back.
bool of_rows(const StepProgram& program, size_t op) {
  const Moves moves = program.moves[op];
  return program.program.ops[op].rows >= 0 || moves == Moves::tokens ||
         moves == Moves::tokens_back || moves == Moves::extend;
}

}  // namespace

StepTiming::StepTiming(const Setup& setup)
    : in_(setup),
      fixed_(fixed_traffic(*setup.step, setup)),
      fixed_update_(fixed_traffic(*setup.update, setup)),
      replicas_(setup.step->moves.size()) {}

const sim::Traffic* StepTiming::traffic_of(size_t op, std::span<const LayerTraffic> layers) {
  const StepProgram& step = *in_.step;
  if (step.moves[op] == Moves::nothing) return nullptr;
  if (step.moves[op] == Moves::counts || step.moves[op] == Moves::dense) return &fixed_[op];
  if (step.moves[op] == Moves::replicas) return &replicas_[op];
  const LayerTraffic& layer = layers[static_cast<size_t>(step.moe_layer[op])];
  switch (step.moves[op]) {
    case Moves::tokens:
      return &layer.tokens;
    case Moves::tokens_back:
      return &layer.tokens_back;
    case Moves::gather:
      return step.gathers_again[op] ? &layer.gather_again : &layer.gather;
    case Moves::reduce:
      return &layer.reduce;
    default:
      return &layer.extend;
  }
}

void StepTiming::prepare(std::span<const LayerTraffic> layers, const Held& held) {
  const StepProgram& step = *in_.step;
  inputs_ = {.program = &step.program, .resources = in_.resources, .device = in_.device};
  for (size_t i = 0; i < step.rows_layer.size(); ++i) {
    const LayerTraffic& layer = layers[static_cast<size_t>(step.rows_layer[i])];
    inputs_.rows.push_back(step.rows_of_experts[i] ? layer.expert_rows : layer.token_rows);
    inputs_.groups.push_back(layer.experts);
  }
  std::vector<double> bytes(static_cast<size_t>(in_.resources->devices()));
  for (size_t op = 0; op < step.moves.size(); ++op) {
    if (step.moves[op] == Moves::replicas) {
      const bool gradients =
          step.program.ops[op].kind == static_cast<int>(graph::OpKind::expert_reduce);
      const double chunk = gradients ? in_.gradient_chunk_bytes : in_.expert_chunk_bytes;
      const std::vector<double>& here = held[static_cast<size_t>(step.moe_layer[op])];
      for (size_t d = 0; d < bytes.size(); ++d) bytes[d] = here[d] * chunk;
      replicas_[op] = sim::replica_traffic(bytes, in_.all, *in_.resources);
    }
    inputs_.traffic.push_back(traffic_of(op, layers));
  }
}

// @return when the slowest rank is done; the middle ones of more than three are simulated once.
double StepTiming::run_micro_batches(sim::RunInputs& inputs) {
  const int ranks = in_.resources->devices();
  std::vector<double> start(static_cast<size_t>(ranks), 0.0);
  double repeated = 0, latest = 0;
  const int64_t simulated = std::min<int64_t>(in_.micro_batches, 3);
  for (int64_t m = 0; m < simulated; ++m) {
    inputs.first_micro_batch = m == 0;
    inputs.last_micro_batch = m + 1 == simulated;
    const bool middle = m == 1 && simulated == 3;
    const double times = middle ? static_cast<double>(in_.micro_batches - 2) : 1.0;
    runs_.push_back({.program = in_.step, .record = sim::simulate(inputs, start), .times = times});
    for (int r = 0; r < ranks; ++r)
      start[static_cast<size_t>(r)] = runs_.back().record.end_of(r, start[static_cast<size_t>(r)]);
    const double end = *std::ranges::max_element(start);
    repeated += (times - 1) * (end - latest);
    latest = end;
  }
  return latest + repeated;
}

std::vector<const sim::Traffic*> StepTiming::update_traffic() {
  std::vector<const sim::Traffic*> traffic;
  for (size_t i = 0; i < in_.update->moves.size(); ++i)
    traffic.push_back(in_.update->moves[i] == Moves::nothing ? nullptr : &fixed_update_[i]);
  return traffic;
}

double StepTiming::run_update(double begin) {
  sim::RunInputs inputs{
      .program = &in_.update->program, .resources = in_.resources, .device = in_.device};
  inputs.traffic = update_traffic();
  const std::vector<double> start(static_cast<size_t>(in_.resources->devices()), begin);
  runs_.push_back({.program = in_.update, .record = sim::simulate(inputs, start), .times = 1});
  double end = begin;
  for (int r = 0; r < in_.resources->devices(); ++r)
    end = std::max(end, runs_.back().record.end_of(r, begin));
  return end;
}

// Back through the runs. Between the last micro-batch and the update all ranks wait for all.
void StepTiming::add_path(SimulatedStep& step) const {
  const auto slowest = [&](const sim::RunRecord& record) {
    int rank = 0;
    for (int r = 1; r < record.ranks(); ++r)
      if (record.end_of(r, 0) > record.end_of(rank, 0)) rank = r;
    return rank;
  };
  int rank = slowest(runs_.back().record);
  for (size_t i = runs_.size(); i-- > 0;) {
    const RunOf& run = runs_[i];
    if (i + 2 == runs_.size()) rank = slowest(run.record);
    rank = sim::walk_critical_path(run.record, rank, [&](int32_t op, double seconds) {
      const auto index = static_cast<size_t>(op);
      step.critical[static_cast<size_t>(run.program->program.ops[index].kind)] +=
          run.times * seconds;
    });
  }
  const double known = std::accumulate(step.critical.begin(), step.critical.end(), 0.0);
  step.critical[static_cast<size_t>(graph::OpKind::host)] += step.seconds - known;
  std::vector<double> waited(graph::kOpKinds);
  for (const RunOf& run : runs_) {
    std::vector<double> here(graph::kOpKinds);
    sim::add_waits(run.program->program, run.record, here);
    for (size_t kind = 0; kind < here.size(); ++kind) waited[kind] += run.times * here[kind];
  }
  std::ranges::copy(waited, step.waited.begin());
}

// From a layer's first operation on rows to its last, forward and backward, mean of the ranks.
std::vector<double> StepTiming::layer_seconds(size_t layers) const {
  struct Span {
    double begin = -1, end = -1;
  };
  std::vector<double> seconds(layers);
  for (const RunOf& run : runs_) {
    if (run.program != in_.step) continue;
    for (int rank = 0; rank < run.record.ranks(); ++rank) {
      std::vector<Span> spans(2 * layers);
      for (size_t op = 0; op < run.record.ops(); ++op) {
        const auto& entry = run.record.at(op, rank);
        if (entry.begin < 0 || in_.step->moe_layer[op] < 0 || !of_rows(*in_.step, op)) continue;
        const size_t backward = in_.step->program.ops[op].backward ? 1 : 0;
        Span& span = spans[2 * static_cast<size_t>(in_.step->moe_layer[op]) + backward];
        if (span.begin < 0 || entry.begin < span.begin) span.begin = entry.begin;
        span.end = std::max(span.end, entry.end);
      }
      for (size_t i = 0; i < spans.size(); ++i)
        seconds[i / 2] += run.times * (spans[i].end - spans[i].begin) / in_.resources->devices();
    }
  }
  return seconds;
}

void StepTiming::add_links(SimulatedStep& step) const {
  const sim::Resources& resources = *in_.resources;
  std::vector<std::vector<double>> loads(graph::kOpKinds);
  for (size_t op = 0; op < inputs_.traffic.size(); ++op) {
    if (inputs_.traffic[op] == nullptr) continue;
    const sim::Op& each = in_.step->program.ops[op];
    std::vector<double>& sum = loads[static_cast<size_t>(each.kind)];
    sum.resize(resources.count());
    std::vector<double> one(resources.count());
    add_loads(*inputs_.traffic[op], resources, one);
    const double times =
        each.when == sim::When::always ? static_cast<double>(in_.micro_batches) : 1.0;
    for (size_t i = 0; i < one.size(); ++i) sum[i] += times * one[i];
  }
  for (size_t kind = 0; kind < loads.size(); ++kind)
    for (size_t i = 0; i < loads[kind].size(); ++i)
      if (resources.is_adapter(i))
        step.link_bytes[kind] = std::max(step.link_bytes[kind], loads[kind][i]);
}

// Per layer: the expert operations on a device that has the mean of rows, and the busiest link or
// port of the exchanges; the longer one.
void StepTiming::add_bounds(std::span<const LayerTraffic> layers, SimulatedStep& step) const {
  std::vector<double> compute(layers.size()), links(layers.size());
  std::vector<double> one(in_.resources->count());
  const auto mean = [](const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  };
  for (size_t i = 0; i < in_.step->moves.size(); ++i) {
    const sim::Op& op = in_.step->program.ops[i];
    if (in_.step->moe_layer[i] < 0) continue;
    const auto l = static_cast<size_t>(in_.step->moe_layer[i]);
    const Moves moves = in_.step->moves[i];
    if (op.rows >= 0 && op.lane == 0) {
      const double rows = mean(inputs_.rows[static_cast<size_t>(op.rows)]);
      const double groups = op.bytes_per_group > 0 ? mean(layers[l].experts) : 0;
      compute[l] += sim::seconds_of(
          *in_.device, {.kind = op.kind,
                        .flops = op.flops + rows * op.flops_per_row,
                        .bytes = op.bytes + rows * op.bytes_per_row + groups * op.bytes_per_group,
                        .rows = rows,
                        .groups = groups});
    } else if (moves == Moves::tokens || moves == Moves::tokens_back) {
      std::ranges::fill(one, 0.0);
      add_loads(*inputs_.traffic[i], *in_.resources, one);
      links[l] += in_.resources->seconds(one);
    }
  }
  std::vector<double> total(layers.front().expert_rows.size());
  for (size_t l = 0; l < layers.size(); ++l) {
    step.bound_seconds += static_cast<double>(in_.micro_batches) * std::max(compute[l], links[l]);
    const double rows = mean(layers[l].expert_rows);
    const double most = rows > 0 ? *std::ranges::max_element(layers[l].expert_rows) / rows : 1;
    step.imbalance += most / static_cast<double>(layers.size());
    step.worst_imbalance = std::max(step.worst_imbalance, most);
    for (size_t d = 0; d < total.size(); ++d) total[d] += layers[l].expert_rows[d];
  }
  step.fullest = mean(total) > 0 ? *std::ranges::max_element(total) / mean(total) : 1;
  step.bound_seconds /= static_cast<double>(layers.size());
  step.layers = layer_seconds(layers.size());
  step.layer_seconds = mean(step.layers);
}

SimulatedStep StepTiming::time(std::span<const LayerTraffic> layers, const Held& held) {
  runs_.clear();
  prepare(layers, held);
  SimulatedStep step;
  const double end = run_update(run_micro_batches(inputs_));
  step.seconds = end + in_.outside_seconds;
  add_path(step);
  add_links(step);
  add_bounds(layers, step);
  return step;
}

}  // namespace hecate::launcher
