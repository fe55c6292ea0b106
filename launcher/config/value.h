#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hecate::config {

/// Where a setting was written, for error messages.
struct Location {
  std::string source;  ///< file name, or "--set KEY=VALUE"
  int line = 0;        ///< 1 first; 0: the source has no lines
  std::string text() const;
};

/// What a TOML document or an override says, before it meets a struct.
struct Value {
  enum class Kind : uint8_t { boolean, integer, real, string, list, table, date };

  Kind kind = Kind::table;
  bool boolean = false;
  int64_t integer = 0;
  double real = 0;
  std::string string;
  std::vector<std::string> keys;  ///< of a table, in the order of items
  std::vector<Value> items;       ///< of a table or a list
  Location where;
  /// Overrides only: the text after '='. A string key takes it as it stands.
  std::string raw;

  /// Null when this is no table or has no such key.
  const Value* find(std::string_view key) const;
  /// The value and its type, short: `"four" (string)`, `4 (integer)`, `a list`.
  std::string describe() const;
};

/// @param source names the text in messages. @throws InvalidArgument with source, line and column.
Value parse_toml(std::string_view text, const std::string& source);

/// "a.b.c=value" as nested tables. The value is TOML; what is none is a string.
/// @throws InvalidArgument when there is no '=' or an empty key.
Value parse_override(std::string_view text);

}  // namespace hecate::config
