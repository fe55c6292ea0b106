#include "launcher/config/run_config.h"

#include "runtime/base/error.h"
#include "scheduler/run_schedule.h"

namespace hecate::launcher {
namespace {

void take_preset(const config::Settings& settings, models::ModelConfig& model) {
  const config::Value* value = settings.find("model.preset");
  if (value == nullptr) return;
  const bool text = value->kind == config::Value::Kind::string;
  if (!text && value->raw.empty()) return;  // of a wrong type: said when it is applied
  const std::string& name = text ? value->string : value->raw;
  if (name.empty()) return;
  try {
    model = models::preset(name);
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(concat(value->where.text(), ": ", error.what()));
  }
}

// The last kind given, as `[schedule] kind = "…"` or `schedule = "…"`; what is no kind is said when
// it is applied.
void take_kind(const config::Settings& settings, scheduler::ScheduleConfig& schedule) {
  for (const config::Value& layer : settings.layers()) {
    const config::Value* value = layer.find("schedule");
    if (value != nullptr && value->kind == config::Value::Kind::table) value = value->find("kind");
    if (value == nullptr) continue;
    const std::string& name =
        value->kind == config::Value::Kind::string ? value->string : value->raw;
    if (!name.empty()) schedule = scheduler::ScheduleConfig::of_kind(name);
  }
}

}  // namespace

void DeviceConfig::validate() const {
  HECATE_CHECK(kind != "paced" || pace_gflops > 0,
               "device.kind = paced needs device.pace_gflops above 0, got ", pace_gflops);
}

void TrainConfig::validate() const {
  HECATE_CHECK(micro_batch == 0 || global_batch % micro_batch == 0,
               "train.global_batch = ", global_batch,
               " is not a multiple of train.micro_batch = ", micro_batch);
  for (const BatchStageConfig& stage : batch_ramp)
    HECATE_CHECK(micro_batch > 0 && stage.global_batch % micro_batch == 0,
                 "train.batch_ramp: a batch of ", stage.global_batch,
                 " sequences is not a multiple of train.micro_batch = ", micro_batch);
  HECATE_CHECK(spike_factor == 0 || spike_factor > 1, "train.spike_factor = ", spike_factor,
               ": expected 0 (off) or a factor above 1");
}

int64_t TrainConfig::largest_batch() const {
  int64_t largest = global_batch;
  for (const BatchStageConfig& stage : batch_ramp) largest = std::max(largest, stage.global_batch);
  return largest;
}

scheduler::RunLength RunConfig::run_length() const {
  std::vector<scheduler::RampStage> stages;
  for (const BatchStageConfig& stage : train.batch_ramp)
    stages.push_back({.steps = stage.steps, .sequences = stage.global_batch});
  return {train.steps, train.global_batch, model.sequence, stages};
}

void RunConfig::validate() const {
  const scheduler::RunSchedule possible(schedule, run_length());
  HECATE_CHECK(!trace_loads || !model.expert_layers().empty(),
               "trace_loads = true, but no layer of the model has experts (model.moe_layers)");
  HECATE_CHECK(
      planner != "balanced" || strategy == "auto" || strategy == "fssdp" || strategy == "fssdp-rm",
      "planner = balanced: strategy ", strategy,
      " has no copies that it could plan; expected fssdp or fssdp-rm");
  HECATE_CHECK(
      !fssdp.calibrate || strategy == "auto" || strategy == "fssdp" || strategy == "fssdp-rm",
      "fssdp.calibrate = true: strategy ", strategy,
      " plans nothing from loads that the gate could correct; expected fssdp or fssdp-rm");
  HECATE_CHECK(!fssdp.calibrate || (fssdp.overlap_degree != 0 && fssdp.memory_capacity != 0),
               "fssdp.calibrate = true with fssdp.overlap_degree = ", fssdp.overlap_degree,
               " and fssdp.memory_capacity = ", fssdp.memory_capacity,
               ": nothing could ever be gathered; expected values above 0, or -1");
  HECATE_CHECK(train.on_spike != "rollback" || checkpoint.every > 0,
               "train.on_spike = rollback needs checkpoint.every above 0, got ", checkpoint.every);
}

RunConfig load_run_config(const config::Settings& settings,
                          const std::vector<std::string>& unchecked) {
  RunConfig config;
  take_preset(settings, config.model);
  take_kind(settings, config.schedule);
  config::load(settings, config, unchecked);
  return config;
}

}  // namespace hecate::launcher
