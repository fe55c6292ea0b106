#include "tests/launcher/train/rank_run.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <mutex>
#include <thread>

#include "collectives/inproc/inproc.h"
#include "launcher/train/setup.h"
#include "runtime/data/loader.h"

namespace hecate::launcher {
namespace {

collectives::Topology topology_of(const collectives::Communicator& world) {
  collectives::Topology topology;
  topology.node_of.assign(world.nodes().begin(), world.nodes().end());
  topology.inside = {.bytes_per_s = 8e9, .latency_s = 1e-6};
  topology.between = {.bytes_per_s = 1e8, .latency_s = 5e-5};
  return topology;
}

// Copies a rank's pieces to where they belong in whole tensors.
void collect(Engine& engine, RankResult& result) {
  const auto specs = engine.layout().specs();
  for (auto* tensors : {&result.gradients, &result.parameters})
    if (tensors->empty())
      for (const models::ParameterSpec& spec : specs)
        tensors->emplace_back(static_cast<size_t>(spec.size()), Real{0});
  if (result.copies.empty())
    for (const models::ParameterSpec& spec : specs)
      result.copies.emplace_back(static_cast<size_t>(spec.size()), 0);
  for (const models::OwnedPiece& piece : engine.storage().pieces()) {
    const auto id = static_cast<size_t>(piece.id);
    std::copy_n(piece.gradient, piece.size, result.gradients[id].begin() + piece.begin);
    std::copy_n(piece.value, piece.size, result.parameters[id].begin() + piece.begin);
    if (piece.first_moment == nullptr || piece.second_moment == nullptr) continue;
    for (int64_t i = 0; i < piece.size; ++i)
      ++result.copies[id][static_cast<size_t>(piece.begin + i)];
  }
}

}  // namespace

RankResult run_ranks(const RunConfig& config, const RankRunOptions& options) {
  std::vector<collectives::Communicator> worlds(1);
  collectives::CommunicatorOptions world;
  world.timeout = std::chrono::seconds(20);
  world.check_arguments = true;
  world.ranks_per_node = options.ranks_per_node;
  if (options.ranks > 1) worlds = collectives::inproc::create(options.ranks, world);
  RankResult result;
  std::mutex mutex;
  std::exception_ptr error;
  std::vector<std::thread> threads;
  result.last.resize(worlds.size());
  result.peak.resize(worlds.size());
  for (size_t rank = 0; rank < worlds.size(); ++rank)
    threads.emplace_back([&, rank] {
      try {
        PlanInputs inputs;
        if (options.ranks > 1) inputs.topology = topology_of(worlds[rank]);
        inputs.overlap_degree = static_cast<int>(config.fssdp.overlap_degree);
        inputs.memory_capacity = static_cast<int>(config.fssdp.memory_capacity);
        EngineOptions engine_config = engine_options(config, Job(worlds[rank]), inputs);
        engine_config.threads = 1;
        if (options.adjust) options.adjust(engine_config);
        Engine engine(engine_config);
        if (options.prepare) options.prepare(engine);
        const data::Loader loader(config.data, static_cast<uint64_t>(config.seed),
                                  config.model.vocabulary, config.model.sequence);
        for (int64_t step = options.first_step; step < options.first_step + options.steps; ++step) {
          engine.load(loader, static_cast<uint64_t>(step * config.train.global_batch));
          const StepResult done =
              engine.train_step(step, options.rate, std::numeric_limits<double>::infinity());
          if (options.after_step) options.after_step(engine, step + 1);
          const std::lock_guard lock(mutex);
          result.last[rank] = done;
          if (rank > 0) continue;
          const ShardedReport& sharded = done.sharded;
          result.calibration.layers += sharded.calibration.layers;
          result.calibration.copies += sharded.calibration.copies;
          for (int peer = 0; peer < options.ranks; ++peer)
            result.extended_bytes +=
                options.ranks > 1
                    ? done.own_traffic
                          .link(LaneKind::dispatch, collectives::TrafficKind::sparse_gather, peer)
                          .sent
                    : 0;
          result.busiest_rank_rows += sharded.exchange.busiest_rank_rows;
          result.losses.push_back(done.loss + done.auxiliary_loss);
          result.gradient_norms.push_back(done.gradient_norm);
        }
        if (options.finish) options.finish(engine);
        const std::lock_guard lock(mutex);
        collect(engine, result);
        result.peak[rank] = engine.ledger().peak();
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!error) error = std::current_exception();
      }
    });
  for (std::thread& thread : threads) thread.join();
  if (error) std::rethrow_exception(error);
  return result;
}

void JumpingRouting::assign(int64_t layer, const models::TokenRange& range,
                            View<int32_t> experts) const {
  const int64_t hot = (4 * range.step + 2 * layer + range.step / 3) % experts_;
  for (int64_t t = 0; t < experts.rows(); ++t) {
    const int64_t token = range.first_token + t;
    const int64_t first = token % 4 == 0 ? (token / 4) % experts_ : hot;
    for (int64_t k = 0; k < experts.row_size(); ++k)
      experts.row(t)[k] =
          static_cast<int32_t>((first + k * (1 + token % (experts_ / 2))) % experts_);
  }
}

double relative_difference(const std::vector<Real>& a, const std::vector<Real>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double delta = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += delta * delta;
    norm += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

}  // namespace hecate::launcher
