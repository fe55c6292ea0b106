#include "monitoring/metric_registry.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "runtime/base/error.h"

namespace hecate::monitoring {

// Grows only, and is copied before it does once a reader may hold it.
struct SeriesTable {
  struct Family {
    std::string name, help;
    MetricKind kind;
    std::vector<size_t> series;
  };
  std::vector<Family> families;
  std::vector<MetricLabels> labels;  // per series
};

namespace {

constexpr MetricFamily kSeries = {"hecate_metrics_series", "Time series that this process shows."};
constexpr MetricFamily kRefused = {
    "hecate_metrics_refused_total",
    "Time series that were refused because metrics.max_series was reached.", MetricKind::counter};

bool valid_name(std::string_view name) {
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !name.empty() && letter(name.front()) && !name.starts_with("__") &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || (c >= '0' && c <= '9'); });
}

std::string key_of(const MetricFamily& family, const MetricLabels& labels) {
  std::string key = family.name;
  for (const MetricLabel& label : labels) key += '\0' + label.name + '\0' + label.value;
  return key;
}

}  // namespace

MetricRegistry::MetricRegistry(RegistryOptions options)
    : options_(std::move(options)), table_(std::make_shared<SeriesTable>()) {
  HECATE_CHECK(options_.max_series >= 2, "metrics.max_series = ", options_.max_series,
               ": expected at least 2");
  count_id_ = series(kSeries, {});
  refused_id_ = series(kRefused, {});
  publish();
}

void MetricRegistry::check(const MetricFamily& family, const MetricLabels& labels) const {
  const std::string_view name = family.name;
  HECATE_CHECK(valid_name(name), "metric \"", name, "\": not a name that Prometheus takes");
  HECATE_CHECK(name.ends_with("_total") == (family.kind == MetricKind::counter), "metric ", name,
               ": counters, and nothing else, end in _total");
  for (const MetricLabel& label : labels)
    HECATE_CHECK(valid_name(label.name), "metric ", name, ": label \"", label.name,
                 "\": not a name that Prometheus takes");
}

SeriesId MetricRegistry::refuse(const MetricFamily& family) {
  if (refused_++ == 0 && options_.warn)
    options_.warn(concat("metrics: ", family.name,
                         " and what comes after it is not shown: ", options_.max_series,
                         " series are the limit (metrics.max_series); fewer of them: "
                         "metrics.per_expert = false, or metrics.ranks = each"));
  return kNoSeries;
}

SeriesId MetricRegistry::series(const MetricFamily& family, const MetricLabels& labels) {
  const std::lock_guard lock(mutex_);
  const std::string key = key_of(family, labels);
  if (const auto found = known_.find(key); found != known_.end()) return found->second;
  check(family, labels);
  if (std::ssize(values_) >= options_.max_series) return refuse(family);
  if (table_.use_count() > 1) table_ = std::make_shared<SeriesTable>(*table_);
  auto& families = table_->families;
  auto place = std::ranges::find(families, family.name, &SeriesTable::Family::name);
  if (place == families.end())
    place = families.insert(families.end(), {family.name, family.help, family.kind, {}});
  HECATE_CHECK(place->kind == family.kind, "metric ", family.name,
               ": a gauge and a counter of one name");
  const size_t index = values_.size();
  place->series.push_back(index);
  MetricLabels all = options_.common;
  all.insert(all.end(), labels.begin(), labels.end());
  table_->labels.push_back(std::move(all));
  values_.emplace_back();
  return known_[key] = static_cast<SeriesId>(index);
}

void MetricRegistry::set(SeriesId series, double value) {
  if (series == kNoSeries) return;
  const std::lock_guard lock(mutex_);
  values_[static_cast<size_t>(series)] = value;
}

void MetricRegistry::add(SeriesId series, double value) {
  if (series == kNoSeries) return;
  const std::lock_guard lock(mutex_);
  std::optional<double>& sum = values_[static_cast<size_t>(series)];
  sum = sum.value_or(0) + value;
}

void MetricRegistry::clear(SeriesId series) {
  if (series == kNoSeries) return;
  const std::lock_guard lock(mutex_);
  values_[static_cast<size_t>(series)].reset();
}

void MetricRegistry::publish() {
  const std::lock_guard lock(mutex_);
  values_[static_cast<size_t>(count_id_)] = static_cast<double>(values_.size());
  values_[static_cast<size_t>(refused_id_)] = refused_;
  const std::lock_guard readers(published_mutex_);
  published_.table_ = table_;
  published_.values_ = values_;
}

MetricRegistry::Snapshot MetricRegistry::read() const {
  const std::lock_guard lock(published_mutex_);
  return published_;
}

std::vector<MetricRegistry::FamilySamples> MetricRegistry::Snapshot::families() const {
  std::vector<FamilySamples> all;
  for (const SeriesTable::Family& family : table_->families) {
    FamilySamples samples{family.name, family.help, family.kind, {}};
    for (const size_t index : family.series)
      if (values_[index]) samples.samples.push_back({&table_->labels[index], *values_[index]});
    if (!samples.samples.empty()) all.push_back(std::move(samples));
  }
  return all;
}

}  // namespace hecate::monitoring
