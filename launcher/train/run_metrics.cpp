#include "launcher/train/run_metrics.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <exception>
#include <nlohmann/json.hpp>
#include <system_error>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

constexpr MetricFamily kRun = {"hecate_run_info", "What the run is; always 1."};
constexpr MetricFamily kTarget = {"hecate_target_steps",
                                  "Steps that the run will make (train.steps)."};
constexpr MetricFamily kInterval = {"hecate_checkpoint_interval_steps",
                                    "Steps between checkpoints (checkpoint.every); 0: at the end."};
constexpr MetricFamily kStart = {"hecate_start_timestamp_seconds",
                                 "When the process began the run."};
constexpr MetricFamily kHeartbeat = {"hecate_heartbeat_timestamp_seconds",
                                     "When the rank last ended a step."};
constexpr MetricFamily kLoss = {"hecate_loss", "Training loss of the last step, nats per token."};
constexpr MetricFamily kRefused = {
    "hecate_refused_steps_total",
    "Steps that moved nothing: loss or gradient not finite, or the loss above its limit.",
    MetricKind::counter};
constexpr MetricFamily kEvaluation = {"hecate_eval_loss",
                                      "Loss on the held-out text, nats per token."};
constexpr MetricFamily kBits = {
    "hecate_eval_compression_ratio",
    "Size that the model could code the held-out text in over its size: bits per byte over 8."};
constexpr MetricFamily kSaves = {"hecate_checkpoints_total", "Checkpoints written.",
                                 MetricKind::counter};
constexpr MetricFamily kSaveTime = {"hecate_checkpoint_timestamp_seconds",
                                    "When the newest checkpoint was complete."};
constexpr MetricFamily kSaveStep = {"hecate_checkpoint_step", "Step of the newest checkpoint."};
constexpr MetricFamily kSaveBytes = {"hecate_checkpoint_size_bytes",
                                     "What the first rank wrote of the newest checkpoint."};
constexpr MetricFamily kStaging = {"hecate_checkpoint_staging_seconds",
                                   "What the newest checkpoint kept training waiting."};
constexpr MetricFamily kWriting = {"hecate_checkpoint_write_seconds",
                                   "How long the newest checkpoint was written in the background."};

double unix_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// How many ranks before this one share its machine.
int place_on_machine(const Job& job) {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  const std::vector<std::string> hosts = job.gather(host.data());
  int place = 0;
  for (int rank = 0; rank < job.rank(); ++rank)
    place += hosts[static_cast<size_t>(rank)] == host.data() ? 1 : 0;
  return place;
}

}  // namespace

RunMetrics::RunMetrics(const RunConfig& config, const RunDirectory& directory, const Job& job)
    : first_(job.first()) {
  if (!config.metrics.on()) return;
  const bool each = config.metrics.ranks == "each";
  const int place = each ? place_on_machine(job) : 0;
  const std::string run = std::filesystem::absolute(directory.path()).lexically_normal().filename();
  job.agree([&] {
    if (!each && !first_) return;
    server_ = std::make_unique<MetricServer>(
        config.metrics, MetricPlace{.run = run, .rank = job.rank(), .port_offset = place});
    steps_ = std::make_unique<StepMetrics>(
        server_->sink(),
        StepMetricsOptions{
            .rank = job.rank(), .own_rank_only = each, .per_expert = config.metrics.per_expert});
  });
  write_targets(job, config.metrics, run);
  if (server_) begin(config, job);
}

// What is known before the first step.
void RunMetrics::begin(const RunConfig& config, const Job& job) {
  MetricSink& sink = server_->sink();
  const auto set = [&](const MetricFamily& family, const MetricLabels& labels, double value) {
    sink.set(sink.series(family, labels), value);
  };
  set(kHeartbeat, {{"rank", std::to_string(job.rank())}}, unix_time());
  if (first_) {
    set(kRun,
        {{"strategy", job.ranks() == 1 ? "single" : config.strategy},
         {"model", config.model.preset},
         {"ranks", std::to_string(job.ranks())}},
        1);
    set(kTarget, {}, static_cast<double>(config.train.steps));
    set(kInterval, {}, static_cast<double>(config.checkpoint.every));
    set(kStart, {}, unix_time());
    for (const char* reason : {"not_finite", "loss_limit"}) set(kRefused, {{"reason", reason}}, 0);
    set(kSaves, {}, 0);
  }
  sink.publish();
}

RunMetrics::~RunMetrics() {
  std::error_code ignored;
  if (!targets_.empty()) std::filesystem::remove(targets_, ignored);
}

void RunMetrics::write_targets(const Job& job, const MetricsConfig& config,
                               const std::string& run) {
  const std::vector<std::string> addresses = job.gather(server_ ? server_->address() : "");
  if (!first_) return;
  nlohmann::json targets = nlohmann::json::array();
  for (const std::string& address : addresses)
    if (!address.empty()) targets.push_back(address);
  if (targets.empty()) return;
  spdlog::info("metrics at http://{}/metrics{}", targets.front().get<std::string>(),
               targets.size() > 1 ? concat(" and ", targets.size() - 1, " more") : "");
  if (config.targets.empty()) return;
  const std::filesystem::path path = std::filesystem::path(config.targets) / (run + ".json");
  try {
    std::filesystem::create_directories(config.targets);
    const nlohmann::json file = {{{"targets", targets}, {"labels", nlohmann::json::object()}}};
    io::write_file(path, file.dump());
    targets_ = path;
  } catch (const std::exception& error) {
    spdlog::warn("metrics: {}", error.what());
  }
}

void RunMetrics::step(const StepRecord& record) {
  if (steps_) steps_->write(record);
}

void RunMetrics::refused_step(const StepResult& result) {
  if (!server_ || !first_) return;
  MetricSink& sink = server_->sink();
  const bool finite = result.not_finite.empty();
  sink.add(sink.series(kRefused, {{"reason", finite ? "loss_limit" : "not_finite"}}), 1);
  sink.set(sink.series(kLoss, {}), result.loss);
  sink.set(sink.series(kHeartbeat, {{"rank", "0"}}), unix_time());
  sink.publish();
}

void RunMetrics::evaluation(const EvaluationResult& result) {
  if (!server_ || !first_) return;
  MetricSink& sink = server_->sink();
  sink.set(sink.series(kEvaluation, {}), result.loss);
  if (result.bits_per_byte > 0) sink.set(sink.series(kBits, {}), result.bits_per_byte / 8);
  sink.publish();
}

void RunMetrics::saved(const checkpoint::SaveReport& report) {
  if (!server_ || !first_) return;
  MetricSink& sink = server_->sink();
  const auto set = [&](const MetricFamily& family, double value) {
    sink.set(sink.series(family, {}), value);
  };
  sink.add(sink.series(kSaves, {}), 1);
  set(kSaveTime, unix_time());
  set(kSaveStep, static_cast<double>(report.step));
  set(kSaveBytes, static_cast<double>(report.bytes));
  set(kStaging, report.staging_seconds);
  set(kWriting, report.write_seconds);
  sink.publish();
}

}  // namespace hecate::launcher
