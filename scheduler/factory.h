#pragma once
#include <memory>
#include <string>
#include <vector>

#include "scheduler/parameters.h"
#include "scheduler/schedule.h"

namespace hecate::scheduler {

/// Every kind, in the order of this list. All rise linearly from 0 over `warmup`.
/// - constant: peak.
/// - linear, cosine: to the floor at `total`.
/// - inverse_sqrt: peak sqrt(warmup / x).
/// - cyclic_cosine: peak to floor in each cycle; `end_points` end cycles.
/// - wsd (MiniCPM, arXiv 2404.06395): peak until total - decay, then `decay_shape`, then its end.
/// - wsdc (PLM, arXiv 2503.12167): the same, but decayed at total - tail and constant from there.
/// - wsd_s (arXiv 2410.05192): at each of `end_points` a decay has ended that lasted
///   decay_fraction of all x so far (`cumulative`) or of this cycle (`cycle`); then the peak again.
/// - power (arXiv 2408.13359): see power.h. In tokens.
const std::vector<std::string>& schedule_kinds();

/// @throws InvalidArgument for an unknown kind (listing the known ones) or lengths that cannot be:
///   negative, a decay longer than the run, a warm-up beyond the decay's start, end points out of
///   order, power without tokens per batch. Messages use the configuration's keys.
std::unique_ptr<Schedule> make_schedule(const std::string& kind,
                                        const ScheduleParameters& parameters);

}  // namespace hecate::scheduler
