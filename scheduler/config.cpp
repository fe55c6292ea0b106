#include "scheduler/config.h"

namespace hecate::scheduler {

ScheduleConfig ScheduleConfig::of_kind(const std::string& kind) {
  ScheduleConfig config;
  config.kind = kind;
  if (kind == "power") config.rate = 0.02;
  if (kind == "power" || kind == "wsd" || kind == "linear") config.floor_ratio = 0;
  if (kind == "wsd_s") config.decay_shape = "inverse";
  if (kind == "wsdc") config.tail = "10%";
  return config;
}

}  // namespace hecate::scheduler
