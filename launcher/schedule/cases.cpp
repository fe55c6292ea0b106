#include "launcher/schedule/cases.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "runtime/base/error.h"
#include "scheduler/factory.h"
#include "scheduler/names.h"

namespace hecate::launcher {
namespace {

using Json = nlohmann::ordered_json;
using scheduler::ScheduleParameters;

// The parameters of a case; remembers which were asked for.
class Inputs {
 public:
  explicit Inputs(Json params) : params_(std::move(params)) {
    HECATE_CHECK(params_.is_object(), "'params' is no object");
  }

  bool has(const std::string& key) {
    asked_.insert(key);
    return params_.contains(key);
  }
  template <class T>
  T get(const std::string& key) {
    HECATE_CHECK(has(key), "'", key, "' is missing");
    try {
      return params_[key].template get<T>();
    } catch (const Json::exception& error) {
      throw InvalidArgument(concat("'", key, "': ", error.what()));
    }
  }
  template <class T>
  void take(const std::string& key, T& value) {
    if (has(key)) value = get<T>(key);
  }
  /// @throws InvalidArgument naming a parameter that nobody asked for.
  void check_all_used() const {
    const std::vector<std::string> known(asked_.begin(), asked_.end());
    for (const auto& [key, value] : params_.items()) scheduler::index_of("params", key, known);
  }

 private:
  Json params_;
  std::set<std::string> asked_;
};

void take_floor(Inputs& inputs, ScheduleParameters& parameters) {
  inputs.take("floor_ratio", parameters.floor_ratio);
  if (!inputs.has("lr_min")) return;
  const auto lowest = inputs.get<double>("lr_min");
  HECATE_CHECK(lowest >= 0 && lowest <= parameters.peak, "'lr_min' = ", lowest,
               ": expected a rate from 0 to lr_max = ", parameters.peak);
  parameters.floor_ratio = parameters.peak > 0 ? lowest / parameters.peak : 0;
}

// Power's `total_tokens` and its like.
void take_power(Inputs& inputs, ScheduleParameters& parameters) {
  parameters.total = inputs.get<double>("total_tokens");
  inputs.take("warmup_tokens", parameters.warmup);
  inputs.take("decay_tokens", parameters.decay);
  inputs.take("a", parameters.a);
  inputs.take("b", parameters.b);
  inputs.take("variant", parameters.variant);
  HECATE_CHECK(inputs.has("batch_sequences") && inputs.has("sequence_tokens"),
               "power needs the tokens per batch: 'batch_sequences' and 'sequence_tokens'");
  parameters.batches = {
      {.from = 0,
       .tokens = inputs.get<double>("batch_sequences") * inputs.get<double>("sequence_tokens")}};
}

void take_lengths(Inputs& inputs, const std::string& kind, ScheduleParameters& parameters) {
  inputs.take("warmup", parameters.warmup);
  const bool cycles = kind == "wsd_s" || kind == "cyclic_cosine";
  if (cycles) {
    parameters.end_points = inputs.get<std::vector<double>>("end_points");
    if (!parameters.end_points.empty()) parameters.total = parameters.end_points.back();
    inputs.take("total", parameters.total);
    inputs.take("decay_fraction", parameters.decay_fraction);
    inputs.take("decay_of", parameters.decay_of);
    return;
  }
  const bool endless = kind == "constant" || kind == "inverse_sqrt";
  if (endless && !inputs.has("total"))
    parameters.total = parameters.warmup;
  else
    parameters.total = inputs.get<double>("total");
  if (kind != "wsd" && kind != "wsdc") return;
  double end = parameters.total;
  if (kind == "wsdc") end = inputs.get<double>("decay_end");
  parameters.tail = parameters.total - end;
  parameters.decay = end - inputs.get<double>("decay_start");
}

ScheduleParameters parameters_of(const std::string& kind, const Json& test) {
  Inputs inputs(test.contains("params") ? test["params"] : Json());
  ScheduleParameters parameters;
  if (test.contains("unit")) parameters.unit = test["unit"].get<std::string>();
  scheduler::index_of("unit", parameters.unit, {"steps", "tokens"});
  parameters.peak = inputs.get<double>("lr_max");
  if (kind == "wsd_s" || kind == "wsdc") parameters.floor_ratio = 0.1;
  if (kind == "wsd_s") parameters.decay_shape = "inverse";
  take_floor(inputs, parameters);
  inputs.take("decay", parameters.decay_shape);
  inputs.take("half_life", parameters.half_life);
  kind == "power" ? take_power(inputs, parameters) : take_lengths(inputs, kind, parameters);
  inputs.check_all_used();
  return parameters;
}

double place_of(const Json& point) {
  const Json& x = point.is_array() && !point.empty() ? point[0] : point;
  HECATE_CHECK(x.is_number() && x.get<double>() >= 0, "'points': ", point.dump(),
               ": expected [x, rate] or x, at least 0");
  return x.get<double>();
}

void answer(Json& test) {
  HECATE_CHECK(test.is_object() && test.contains("schedule") && test["schedule"].is_string(),
               "'schedule' is missing");
  HECATE_CHECK(test.contains("points") && test["points"].is_array(), "'points' is no array");
  const auto kind = test["schedule"].get<std::string>();
  scheduler::index_of("schedule", kind, scheduler::schedule_kinds());
  const auto schedule = scheduler::make_schedule(kind, parameters_of(kind, test));
  for (Json& point : test["points"]) {
    const double x = place_of(point);
    const Json given = point.is_array() ? point[0] : point;
    point = Json::array({given, schedule->rate(x)});
  }
}

std::string name_of(const Json& cases, size_t index) {
  const Json& test = cases[index];
  std::string name = concat("cases[", index, "]");
  if (test.is_object() && test.contains("name") && test["name"].is_string())
    name += " (" + test["name"].get<std::string>() + ")";
  return name;
}

}  // namespace

std::string schedule_cases(const std::string& text, const std::string& source) {
  Json document;
  try {
    document = Json::parse(text);
  } catch (const Json::exception& error) {
    throw InvalidArgument(concat(source, ": no JSON: ", error.what()));
  }
  HECATE_CHECK(document.is_object() && document.contains("cases") && document["cases"].is_array(),
               source, ": expected an object with an array 'cases'");
  Json& cases = document["cases"];
  for (size_t i = 0; i < cases.size(); ++i) try {
      answer(cases[i]);
    } catch (const InvalidArgument& error) {
      throw InvalidArgument(concat(source, ": ", name_of(cases, i), ": ", error.what()));
    } catch (const Json::exception& error) {
      throw InvalidArgument(concat(source, ": ", name_of(cases, i), ": ", error.what()));
    }
  return document.dump(1) + "\n";
}

}  // namespace hecate::launcher
