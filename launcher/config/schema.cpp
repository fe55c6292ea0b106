#include "launcher/config/schema.h"

#include <array>
#include <charconv>
#include <cmath>

#include "runtime/base/error.h"

namespace hecate::config {
namespace {

void walk_below(const Table& table, const std::string& prefix,
                const std::function<void(const std::string&, const Field&)>& visit) {
  for (const Field& field : table.fields) {
    const std::string path = prefix + field.name;
    visit(path, field);
    if (const auto* nested = std::get_if<Table>(&field.target))
      walk_below(*nested, path + ".", visit);
    else if (const auto* list = std::get_if<TableList>(&field.target))
      walk_below(list->prototype(), path + "[].", visit);
  }
}

}  // namespace

const Field* Table::find(std::string_view name) const {
  for (const Field& field : fields)
    if (field.name == name) return &field;
  return nullptr;
}

bool has_kind(const Table& table) {
  const Field* kind = table.find("kind");
  return kind != nullptr && std::holds_alternative<std::string*>(kind->target);
}

void walk(const Table& table,
          const std::function<void(const std::string& path, const Field&)>& visit) {
  walk_below(table, "", visit);
}

std::string type_name(const Field& field) {
  static constexpr std::array<const char*, std::variant_size_v<Target>> kNames = {
      "boolean",         "integer",         "number", "string",         "list of integers",
      "list of numbers", "list of strings", "table",  "list of tables",
  };
  return kNames[field.target.index()];
}

std::string limits_text(const Field& field) {
  const Limits& limits = field.limits;
  if (!limits.choices.empty()) {
    std::string text;
    for (const std::string& choice : limits.choices) text += (text.empty() ? "" : ", ") + choice;
    return "one of " + text;
  }
  if (std::isfinite(limits.min) && std::isfinite(limits.max))
    return concat("from ", shortest(limits.min), " to ", shortest(limits.max));
  if (std::isfinite(limits.min)) return concat("at least ", shortest(limits.min));
  if (std::isfinite(limits.max)) return concat("at most ", shortest(limits.max));
  return "";
}

std::string shortest(double value) {
  std::array<char, 32> digits;
  const std::to_chars_result end =
      std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return {digits.data(), end.ptr};
}

}  // namespace hecate::config
