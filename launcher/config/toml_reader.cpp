#include <toml++/toml.h>

#include <algorithm>

#include "launcher/config/schema.h"
#include "launcher/config/value.h"
#include "runtime/base/error.h"

namespace hecate::config {
namespace {

Value convert(const toml::node& node, const std::string& source) {
  Value value;
  value.where = {source, static_cast<int>(node.source().begin.line)};
  if (const auto* boolean = node.as_boolean()) {
    value.kind = Value::Kind::boolean;
    value.boolean = boolean->get();
  } else if (const auto* integer = node.as_integer()) {
    value.kind = Value::Kind::integer;
    value.integer = integer->get();
  } else if (const auto* real = node.as_floating_point()) {
    value.kind = Value::Kind::real;
    value.real = real->get();
  } else if (const auto* string = node.as_string()) {
    value.kind = Value::Kind::string;
    value.string = string->get();
  } else if (const auto* list = node.as_array()) {
    value.kind = Value::Kind::list;
    for (const toml::node& item : *list) value.items.push_back(convert(item, source));
  } else if (const auto* table = node.as_table()) {
    value.kind = Value::Kind::table;
    for (const auto& [key, item] : *table) {
      value.keys.emplace_back(key.str());
      value.items.push_back(convert(item, source));
    }
  } else {
    value.kind = Value::Kind::date;
  }
  return value;
}

void set_location(Value& value, const Location& where) {
  value.where = where;
  for (Value& item : value.items) set_location(item, where);
}

std::string_view trimmed(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

// A text that is not exactly one TOML value is a bare string.
Value override_value(std::string_view text) {
  try {
    const toml::table parsed = toml::parse("value = " + std::string(text));
    if (parsed.size() == 1) return convert(*parsed.get("value"), "");
  } catch (const toml::parse_error&) {
    // a bare string
  }
  Value value;
  value.kind = Value::Kind::string;
  value.string = text;
  return value;
}

}  // namespace

Value parse_toml(std::string_view text, const std::string& source) {
  try {
    return convert(toml::parse(text, source), source);
  } catch (const toml::parse_error& error) {
    const toml::source_position& at = error.source().begin;
    throw InvalidArgument(
        concat(source, ":", at.line, ":", at.column, ": not TOML: ", error.description()));
  }
}

Value parse_override(std::string_view text) {
  const size_t equals = text.find('=');
  const std::string name = concat("--set ", text);
  HECATE_CHECK(equals != std::string_view::npos, name, ": expected KEY=VALUE");
  const std::string_view right = trimmed(text.substr(equals + 1));
  Value value = override_value(right);
  value.raw = right;
  std::string_view left = trimmed(text.substr(0, equals));
  while (true) {
    const size_t dot = left.rfind('.');
    const std::string_view key =
        trimmed(dot == std::string_view::npos ? left : left.substr(dot + 1));
    HECATE_CHECK(!key.empty(), name,
                 ": a key is empty; expected KEY=VALUE with KEY like train.steps");
    Value table;
    table.keys.emplace_back(key);
    table.items.push_back(std::move(value));
    value = std::move(table);
    if (dot == std::string_view::npos) break;
    left = left.substr(0, dot);
  }
  set_location(value, {name, 0});
  return value;
}

std::string Location::text() const {
  return line > 0 ? concat(source, ":", line) : source;
}

const Value* Value::find(std::string_view key) const {
  const auto found = std::find(keys.begin(), keys.end(), key);
  return found == keys.end() ? nullptr : &items[static_cast<size_t>(found - keys.begin())];
}

std::string Value::describe() const {
  switch (kind) {
    case Kind::boolean:
      return boolean ? "true (boolean)" : "false (boolean)";
    case Kind::integer:
      return concat(integer, " (integer)");
    case Kind::real:
      return concat(shortest(real), " (number)");
    case Kind::string:
      return concat('"', string, "\" (string)");
    case Kind::list:
      return "a list";
    case Kind::table:
      return "a table";
    case Kind::date:
      break;
  }
  return "a date or time";
}

}  // namespace hecate::config
