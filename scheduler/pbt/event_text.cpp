#include "scheduler/pbt/event_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace hecate::pbt {
namespace {

using Json = nlohmann::ordered_json;
using population::Event;
using population::EventKind;

constexpr std::array<const char*, 8> kNames = {"member", "lease",  "copied",  "copy_failed",
                                               "report", "failed", "revoked", "given_up"};

// JSON has no NaN.
Json number(double value) {
  return std::isfinite(value) ? Json(value) : Json(nullptr);
}

double number_of(const Json& value) {
  return value.is_null() ? std::nan("") : value.get<double>();
}

Json values_of(const population::Settings& settings) {
  Json values = Json::object();
  for (const auto& [key, text] : settings) values[key] = text;
  return values;
}

}  // namespace

std::string to_text(const Event& event, const population::SearchSpace& space) {
  Json json = {{"event", kNames[static_cast<size_t>(event.kind)]}, {"member", event.member}};
  if (event.lease > 0) json["lease"] = event.lease;
  if (!event.worker.empty()) json["worker"] = event.worker;
  if (event.kind == EventKind::member || event.kind == EventKind::lease)
    json["values"] = values_of(space.settings(event.point));
  if (event.copy)
    json["copy"] = {{"donor", event.copy->donor},
                    {"incarnation", event.copy->incarnation},
                    {"step", event.copy->step},
                    {"donor_score", number(event.copy->donor_score)},
                    {"target_score", number(event.copy->target_score)}};
  if (event.kind == EventKind::report) {
    json["step"] = event.step;
    json["tokens"] = event.tokens;
    json["score"] = number(event.score);
  }
  if (event.diverged) json["diverged"] = true;
  if (!event.reason.empty()) json["reason"] = event.reason;
  json["seconds"] = std::round(event.seconds * 1e3) / 1e3;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Event event_of(std::string_view text, const population::SearchSpace& space) {
  try {
    const Json json = Json::parse(text);
    Event event;
    const auto name = json.at("event").get<std::string>();
    const auto* const kind = std::ranges::find(kNames, name);
    HECATE_CHECK(kind != kNames.end(), "unknown event '", name, "'");
    event.kind = static_cast<EventKind>(kind - kNames.begin());
    json.at("member").get_to(event.member);
    event.lease = json.value("lease", int64_t{0});
    event.worker = json.value("worker", std::string());
    event.diverged = json.value("diverged", false);
    event.reason = json.value("reason", std::string());
    event.seconds = json.value("seconds", 0.0);
    if (json.contains("values")) {
      population::Settings settings;
      for (const auto& [key, value] : json.at("values").items())
        settings.emplace_back(key, value.get<std::string>());
      event.point = space.parse(settings);
    }
    if (json.contains("copy")) {
      const Json& copy = json.at("copy");
      event.copy = population::Copy{.donor = copy.at("donor").get<int>(),
                                    .incarnation = copy.at("incarnation").get<int>(),
                                    .step = copy.at("step").get<int64_t>(),
                                    .donor_score = number_of(copy.at("donor_score")),
                                    .target_score = number_of(copy.at("target_score"))};
    }
    if (event.kind == EventKind::report) {
      json.at("step").get_to(event.step);
      json.at("tokens").get_to(event.tokens);
      event.score = number_of(json.at("score"));
    }
    return event;
  } catch (const nlohmann::json::exception& error) {
    throw InvalidArgument(concat("not an event of a population: ", error.what()));
  }
}

}  // namespace hecate::pbt
