#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/config/schema.h"
#include "launcher/config/value.h"

/// Loading, printing and documenting configuration structs (runtime/base/config_fields.h).
namespace hecate::config {

/// What was asked for, in rising priority: files first come first overridden, then `--set`.
class Settings {
 public:
  /// @throws IoError if it cannot be read, InvalidArgument with file, line and column if it is not
  ///   TOML.
  void add_file(const std::filesystem::path& path);
  /// @param source names the text in messages.
  void add_text(std::string_view toml, const std::string& source);
  /// "a.b.c=value"; a value that is not TOML is a string. @throws InvalidArgument without '='.
  void add_override(std::string_view text);

  /// The last value given for "a.b.c"; null: none. For keys that decide the defaults of others.
  const Value* find(std::string_view path) const;
  const std::vector<Value>& layers() const { return layers_; }

 private:
  std::vector<Value> layers_;
};

/// Writes the settings over the object's values, then runs every `validate()`, inner structs first.
/// A table with a key `kind` may be given as a bare string; lists are replaced as a whole.
/// @param unchecked tables whose validate() is left out, by name ("data").
/// @throws InvalidArgument with location, key, what was found, what was expected and, for names,
///   the nearest one. The object's values are unspecified then.
void apply(const Settings& settings, const Table& root,
           const std::vector<std::string>& unchecked = {});

/// TOML that gives the same object when it is loaded again: every key, default or not.
std::string print(const Table& root);

/// Every key with type, default, limits and documentation, by table. @param root bound to a
/// default object.
std::string explain(const Table& root);

/// One line per key, `path: type` and its limits: what a frozen list is compared with.
std::string list_keys(const Table& root);

template <class T>
void load(const Settings& settings, T& object, const std::vector<std::string>& unchecked = {}) {
  apply(settings, bind(object), unchecked);
}
template <class T>
std::string to_toml(T object) {
  return print(bind(object));
}

}  // namespace hecate::config
