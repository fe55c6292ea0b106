#include "monitoring/report/page.h"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "monitoring/report/assets.h"
#include "monitoring/report/summary.h"
#include "runtime/base/error.h"

namespace hecate::monitoring {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDigits = 6;

// Six digits are more than a chart shows, and half the page. JSON has no NaN: null.
Json number(double value) {
  if (!std::isfinite(value)) return nullptr;
  if (value == std::rint(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
  const double scale = std::pow(10.0, kDigits - std::ceil(std::log10(std::abs(value))));
  return std::isfinite(scale) && scale > 0 ? std::round(value * scale) / scale : value;
}

Json numbers(const std::vector<double>& values) {
  Json list = Json::array();
  for (const double value : values) list.push_back(number(value));
  return list;
}

Json table(const Table& whole, int64_t most) {
  const Table thin =
      thinned(whole, most, {"step", "tokens", "elapsed_seconds"}, {"loss", "step_seconds"});
  Json columns = Json::object();
  for (const std::string& name : thin.columns()) columns[name] = numbers(thin.values(name));
  return {{"rows", thin.rows()}, {"of", whole.rows()}, {"columns", std::move(columns)}};
}

// Counts as percent of the layer's mean: small numbers, and what a heat map shows.
Json loads(const ExpertLoads& loads) {
  Json values = Json::array();
  const auto experts = static_cast<size_t>(loads.experts);
  for (size_t begin = 0; begin + experts <= loads.counts.size() && experts > 0; begin += experts) {
    int64_t sum = 0;
    for (size_t e = 0; e < experts; ++e) sum += loads.counts[begin + e];
    for (size_t e = 0; e < experts; ++e)
      values.push_back(sum == 0 ? 0 : 100 * loads.counts[begin + e] * loads.experts / sum);
  }
  return {{"steps", loads.steps},
          {"layers", loads.layers},
          {"experts", loads.experts},
          {"percent_of_mean", std::move(values)}};
}

Json placements(const std::vector<PlacementSnapshot>& snapshots) {
  Json list = Json::array();
  for (const PlacementSnapshot& snapshot : snapshots) {
    Json layers = Json::array();
    for (const PlacementSnapshot::Layer& layer : snapshot.layers)
      layers.push_back({{"layer", layer.layer},
                        {"owners", layer.owners},
                        {"copies", layer.copies},
                        {"loads", layer.loads}});
    list.push_back({{"step", snapshot.step}, {"layers", std::move(layers)}});
  }
  return list;
}

// Names and kinds repeat: slices name them by index.
Json timeline(const TimelineExcerpt& excerpt) {
  std::vector<std::string> names;
  std::map<std::string, size_t> known;
  const auto index = [&](const std::string& name) {
    const auto [place, added] = known.emplace(name, names.size());
    if (added) names.push_back(name);
    return place->second;
  };
  Json slices = Json::array();
  for (const TimelineExcerpt::Slice& slice : excerpt.slices)
    slices.push_back({slice.rank, slice.lane, number(slice.begin), number(slice.end),
                      index(slice.name), index(slice.kind)});
  Json counters = Json::array();
  for (const TimelineExcerpt::Counter& counter : excerpt.counters) {
    Json values = Json::array();
    for (const auto& [time, value] : counter.values)
      values.push_back({number(time), number(value)});
    counters.push_back(
        {{"name", counter.name}, {"rank", counter.rank}, {"values", std::move(values)}});
  }
  return {{"step", excerpt.step},        {"ranks", excerpt.ranks},
          {"lanes", excerpt.lanes},      {"names", std::move(names)},
          {"slices", std::move(slices)}, {"counters", std::move(counters)},
          {"left_out", excerpt.left_out}};
}

Json summary(const RunData& run) {
  const RunSummary summary = summarise(run);
  return {{"last_step", number(summary.last_step)},
          {"last_loss", number(summary.last_loss)},
          {"best_eval_loss", number(summary.best_eval_loss)},
          {"bits_per_byte", number(summary.bits_per_byte)},
          {"tokens", number(summary.tokens)},
          {"tokens_per_s", number(summary.tokens_per_s)},
          {"step_seconds", number(summary.step_seconds)},
          {"flops_utilization", number(summary.flops_utilization)},
          {"imbalance", number(summary.imbalance)},
          {"peak_bytes", number(summary.peak_bytes)}};
}

Json parts(const RunData& run) {
  Json list = Json::array();
  for (const StepPart& part : step_parts(run))
    list.push_back(
        {{"name", part.name}, {"seconds", number(part.seconds)}, {"exposed", part.exposed}});
  return list;
}

Json hidden(const RunData& run) {
  Json list = Json::array();
  for (const HiddenTime& time : hidden_times(run))
    list.push_back({{"name", time.name},
                    {"busy", number(time.busy_seconds)},
                    {"exposed", number(time.exposed_seconds)}});
  return list;
}

const char* name_of(RunState state) {
  switch (state) {
    case RunState::running:
      return "running";
    case RunState::finished:
      return "finished";
    case RunState::stopped:
      break;
  }
  return "stopped";
}

Json run_json(const RunData& run, int64_t most_rows) {
  Json settings = Json::array();
  for (const auto& [key, value] : run.settings) settings.push_back({key, value});
  return {{"name", run.name},
          {"path", run.path},
          {"state", name_of(run.state)},
          {"age_seconds", number(run.age_seconds)},
          {"total_steps", run.total_steps},
          {"ranks", run.ranks},
          {"strategy", run.setting("strategy")},
          {"budget_bytes", number(run.budget_bytes)},
          {"settings", std::move(settings)},
          {"summary", summary(run)},
          {"steps", table(run.steps, most_rows)},
          {"evaluations", table(run.evaluations, most_rows)},
          {"step_parts", parts(run)},
          {"hidden", hidden(run)},
          {"loads", run.loads ? loads(*run.loads) : Json()},
          {"placements", placements(run.placements)},
          {"timeline", run.timeline ? timeline(*run.timeline) : Json()},
          {"notes", run.notes}};
}

Json exploit_json(const Exploit& exploit) {
  const auto pairs = [](const std::vector<std::pair<std::string, std::string>>& values) {
    Json list = Json::array();
    for (const auto& [key, value] : values) list.push_back({key, value});
    return list;
  };
  return {{"target", exploit.target},
          {"donor", exploit.donor},
          {"target_step", number(exploit.target_step)},
          {"donor_step", number(exploit.donor_step)},
          {"target_score", number(exploit.target_score)},
          {"donor_score", number(exploit.donor_score)},
          {"before", pairs(exploit.before)},
          {"after", pairs(exploit.after)}};
}

std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : text) {
    switch (c) {
      case '&':
        html += "&amp;";
        break;
      case '<':
        html += "&lt;";
        break;
      case '>':
        html += "&gt;";
        break;
      case '"':
        html += "&quot;";
        break;
      default:
        html += c;
    }
  }
  return html;
}

std::string title_of(const ReportData& data) {
  std::string title;
  for (const RunData& run : data.runs) title += (title.empty() ? "" : ", ") + run.name;
  constexpr size_t kLongest = 80;
  if (title.size() > kLongest) title = concat(data.runs.size(), " runs");
  return title + " · hecate report";
}

// Each {{NAME}} of the template; what is put in is not looked at again.
std::string filled(std::string_view text, const std::map<std::string, std::string_view>& parts) {
  std::string page;
  while (true) {
    const size_t open = text.find("{{");
    const size_t close = text.find("}}", open);
    page += text.substr(0, open);
    if (open == std::string_view::npos || close == std::string_view::npos) return page;
    page += parts.at(std::string(text.substr(open + 2, close - open - 2)));
    text.remove_prefix(close + 2);
  }
}

}  // namespace

std::string page_json(const ReportData& data, const PageOptions& options) {
  Json runs = Json::array();
  for (const RunData& run : data.runs) runs.push_back(run_json(run, options.most_rows));
  Json exploits = Json::array();
  for (const Exploit& exploit : data.exploits) exploits.push_back(exploit_json(exploit));
  const Json page = {{"made_at", options.made_at},
                     {"version", options.version},
                     {"runs", std::move(runs)},
                     {"exploits", std::move(exploits)}};
  const std::string text = page.dump(-1, ' ', false, Json::error_handler_t::replace);
  // "</script>" or "<!--" in a string would end the element.
  std::string safe;
  for (const char c : text) c == '<' ? safe += "\\u003c" : safe += c;
  return safe;
}

std::string report_page(const ReportData& data, const PageOptions& options) {
  const std::string json = page_json(data, options), title = escaped(title_of(data));
  return filled(
      assets::kTemplate,
      {{"title", title}, {"style", assets::kStyle}, {"script", assets::kScript}, {"data", json}});
}

}  // namespace hecate::monitoring
