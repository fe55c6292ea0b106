#include "launcher/pbt/table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

constexpr size_t kShownAncestors = 4;

std::string short_number(double value) {
  if (std::isnan(value)) return "NaN";
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string ancestry(const population::Member& member) {
  std::string text;
  const size_t count = member.ancestors.size();
  if (count > kShownAncestors) text = "..";
  for (size_t i = count - std::min(count, kShownAncestors); i < count; ++i)
    text += concat(text.empty() || text == ".." ? "" : ">", member.ancestors[i]);
  return text.empty() ? "-" : text;
}

std::string value_text(const population::DimensionConfig& dimension, double value) {
  const bool listed = dimension.kind == "choice" || dimension.kind == "constant";
  return listed ? dimension.values[static_cast<size_t>(value)] : short_number(value);
}

using Row = std::vector<std::string>;

Row row_of(const population::Population& population, const population::Member& member,
           const std::map<int, pbt::Coordinator::Live>& live, bool best) {
  const auto running = live.find(member.id);
  const bool shown = running != live.end() && member.lease.has_value();
  Row row = {concat(best ? "*" : "", member.id),
             name_of(population.state(member)),
             concat(shown ? std::max(running->second.step, member.step) : member.step),
             member.history.empty()
                 ? "-"
                 : short_number(member.diverged ? std::nan("") : member.history.back().value),
             shown ? short_number(running->second.loss) : "-",
             ancestry(member)};
  const auto dimensions = population.space().dimensions();
  for (size_t i = 0; i < dimensions.size(); ++i)
    row.push_back(value_text(dimensions[i], member.point[i]));
  return row;
}

}  // namespace

std::string population_table(const population::Population& population,
                             const std::map<int, pbt::Coordinator::Live>& live) {
  Row heading = {"member", "state", "step", population.config().metric, "loss", "copied"};
  for (const auto& dimension : population.space().dimensions()) {
    const size_t dot = dimension.key.rfind('.');
    heading.push_back(dot == std::string::npos ? dimension.key : dimension.key.substr(dot + 1));
  }
  std::vector<Row> rows = {heading};
  const auto best = population.best();
  for (const population::Member& member : population.members())
    rows.push_back(row_of(population, member, live, best && *best == member.id));
  std::vector<size_t> widths(heading.size());
  for (const Row& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i)
      line += std::string(widths[i] - row[i].size() + (i > 0 ? 2 : 0), ' ') + row[i];
    text += line + "\n";
  }
  return text;
}

}  // namespace hecate::launcher
