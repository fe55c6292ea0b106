#include "launcher/pbt/population_log.h"

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "scheduler/population/lineage.h"

namespace hecate::launcher {
namespace {

using Json = nlohmann::ordered_json;
using population::Event;
using population::EventKind;

Json values_of(const population::SearchSpace& space, const population::Point& point) {
  Json values = Json::object();
  for (const auto& [key, text] : space.settings(point)) values[key] = text;
  return values;
}

Json score_of(double score) {
  return std::isfinite(score) ? Json(score) : Json(nullptr);
}

population::Settings settings_of(const Json& values) {
  population::Settings settings;
  for (const auto& [key, text] : values.items())
    settings.emplace_back(key, text.get<std::string>());
  return settings;
}

}  // namespace

PopulationLog::PopulationLog(const std::filesystem::path& path,
                             const population::SearchSpace& space, std::span<const Event> events)
    : path_(path), space_(&space) {
  io::write_file(path_, "");
  update(events);
}

void PopulationLog::append(const std::string& line) {
  std::ofstream out(path_, std::ios::app);
  out << line << '\n' << std::flush;
  if (!out) throw IoError(concat(path_.string(), ": cannot be appended to"));
}

void PopulationLog::update(std::span<const Event> events) {
  for (; taken_ < events.size(); ++taken_) take(events[taken_]);
}

void PopulationLog::take(const Event& event) {
  const auto member = static_cast<size_t>(event.member);
  if (event.kind == EventKind::member) {
    points_.push_back(event.point);
    decisions_.emplace_back();
    steps_.push_back(0);
    return append(Json({{"event", "member"},
                        {"member", event.member},
                        {"values", values_of(*space_, event.point)}})
                      .dump());
  }
  if (event.kind == EventKind::report) steps_[member] = event.step;
  if (event.kind == EventKind::copy_failed) decisions_[member].reset();
  if (event.kind == EventKind::lease && event.copy && !decisions_[member])
    decisions_[member] = event;
  if (event.kind != EventKind::copied || !decisions_[member]) return;
  const Event& decision = *decisions_[member];
  append(Json({{"event", "exploit"},
               {"target", event.member},
               {"donor", decision.copy->donor},
               {"target_step", steps_[member]},
               {"donor_step", decision.copy->step},
               {"target_score", score_of(decision.copy->target_score)},
               {"donor_score", score_of(decision.copy->donor_score)},
               {"old", values_of(*space_, points_[member])},
               {"new", values_of(*space_, decision.point)},
               {"seconds", event.seconds}})
             .dump());
  points_[member] = decision.point;
  steps_[member] = decision.copy->step;
  decisions_[member].reset();
}

void PopulationLog::finish(const population::Population& population,
                           std::span<const Event> events) {
  update(events);
  const auto schedules = population::schedules(events);
  for (size_t member = 0; member < schedules.size(); ++member) {
    const population::Member& state = population.members()[member];
    Json segments = Json::array();
    for (const population::Segment& segment : schedules[member])
      segments.push_back({{"step", segment.step},
                          {"member", segment.member},
                          {"values", values_of(*space_, segment.point)}});
    append(Json({{"event", "schedule"},
                 {"member", member},
                 {"step", state.step},
                 {"score",
                  state.history.empty() ? Json(nullptr) : score_of(state.history.back().value)},
                 {"segments", segments}})
               .dump());
  }
  if (const auto best = population.best())
    append(Json({{"event", "best"},
                 {"member", *best},
                 {"step", population.members()[static_cast<size_t>(*best)].step},
                 {"score",
                  score_of(population.members()[static_cast<size_t>(*best)].history.back().value)}})
               .dump());
}

std::vector<ReplaySegment> read_schedule(const std::filesystem::path& path,
                                         const std::string& member) {
  std::map<std::string, Json> schedules;
  std::string best;
  std::istringstream lines(io::read_file(path));
  for (std::string line; std::getline(lines, line);) {
    const Json row = Json::parse(line, nullptr, false);
    HECATE_CHECK(row.is_object() && row.contains("event"), path.string(),
                 ": not a population's log: '", line.substr(0, 80), "'");
    if (row["event"] == "schedule") schedules[row.at("member").dump()] = row.at("segments");
    if (row["event"] == "best") best = row.at("member").dump();
  }
  HECATE_CHECK(!best.empty(), path.string(), ": this population has not ended with a best member");
  const auto found = schedules.find(member == "best" ? best : member);
  HECATE_CHECK(found != schedules.end(), path.string(), " has no member '", member,
               "': expected best or 0 to ", static_cast<int64_t>(schedules.size()) - 1);
  std::vector<ReplaySegment> segments;
  for (const Json& segment : found->second)
    segments.push_back(
        {.step = segment.at("step").get<int64_t>(), .settings = settings_of(segment.at("values"))});
  return segments;
}

}  // namespace hecate::launcher
