#include "monitoring/report/table.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "runtime/base/error.h"

namespace hecate::monitoring {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

std::vector<double> finite(std::span<const double> values) {
  std::vector<double> kept;
  for (const double value : values)
    if (std::isfinite(value)) kept.push_back(value);
  return kept;
}

double mean_of(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? kNone : sum / static_cast<double>(values.size());
}

// Rows [begin, end) of a column become the last row of `thin`.
void put_together(Table& thin, const std::string& name, std::span<const double> part, bool running,
                  bool spread) {
  const std::vector<double> values = finite(part);
  if (values.empty()) return;
  thin.set(name, running ? values.back() : mean_of(values));
  if (!spread) return;
  const auto [low, high] = std::ranges::minmax(values);
  thin.set(name + ".low", low);
  thin.set(name + ".high", high);
}

}  // namespace

void Table::set(const std::string& column, double value) {
  HECATE_CHECK(rows_ > 0, "table: a value of ", column, " before the first row");
  std::vector<double>& values = columns_[column];
  values.resize(static_cast<size_t>(rows_), kNone);
  values.back() = value;
}

std::vector<std::string> Table::columns() const {
  std::vector<std::string> names;
  for (const auto& [name, values] : columns_) names.push_back(name);
  return names;
}

std::vector<double> Table::values(const std::string& column) const {
  const auto found = columns_.find(column);
  std::vector<double> values = found == columns_.end() ? std::vector<double>() : found->second;
  values.resize(static_cast<size_t>(rows_), kNone);
  return values;
}

double Table::last(const std::string& column) const {
  const std::vector<double> kept = finite(values(column));
  return kept.empty() ? kNone : kept.back();
}

double Table::median(const std::string& column) const {
  const std::vector<double> all = values(column);
  std::vector<double> kept = finite(std::span(all).subspan(all.size() / 2));
  if (kept.empty()) return kNone;
  const auto middle = kept.begin() + std::ssize(kept) / 2;
  std::ranges::nth_element(kept, middle);
  return *middle;
}

double Table::mean(const std::string& column, double missing) const {
  if (!has(column)) return kNone;
  std::vector<double> all = values(column);
  for (double& value : all)
    if (!std::isfinite(value)) value = missing;
  return mean_of(std::span<const double>(all).subspan(all.size() / 2));
}

Table thinned(const Table& table, int64_t most, const std::vector<std::string>& running,
              const std::vector<std::string>& spread) {
  HECATE_CHECK(most > 0, "thinned: at most ", most, " rows");
  if (table.rows() <= most) return table;
  const int64_t together = (table.rows() + most - 1) / most;
  const auto has = [](const std::vector<std::string>& names, const std::string& name) {
    return std::ranges::find(names, name) != names.end();
  };
  std::map<std::string, std::vector<double>> columns;
  for (const std::string& name : table.columns()) columns[name] = table.values(name);
  Table thin;
  for (int64_t begin = 0; begin < table.rows(); begin += together) {
    const auto count = static_cast<size_t>(std::min(together, table.rows() - begin));
    thin.add_row();
    for (const auto& [name, values] : columns)
      put_together(thin, name, std::span(values).subspan(static_cast<size_t>(begin), count),
                   has(running, name), has(spread, name));
  }
  return thin;
}

}  // namespace hecate::monitoring
