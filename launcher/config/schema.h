#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/base/config_fields.h"

/// A struct with `fields` seen as a tree of typed pointers into one object, so that loading,
/// printing and documentation are written once, without templates.
namespace hecate::config {

struct Field;

/// A table bound to an object, which it must not outlive (unless `owner` holds it).
struct Table {
  std::vector<Field> fields;
  std::function<void()> validate;  ///< the struct's own cross-field check; empty: it has none
  std::shared_ptr<void> owner;

  const Field* find(std::string_view name) const;
};

/// An array of tables. Bound elements are valid until the next append or clear.
struct TableList {
  std::function<size_t()> size;
  std::function<Table(size_t)> at;
  std::function<Table()> append;
  std::function<void()> clear;
  std::function<Table()> prototype;  ///< a default element of its own
};

using Target = std::variant<bool*, int64_t*, double*, std::string*, std::vector<int64_t>*,
                            std::vector<double>*, std::vector<std::string>*, Table, TableList>;

struct Field {
  std::string name;
  std::string doc;
  Limits limits;
  Target target;
};

namespace detail {

class Binder;
template <class T>
concept HasFields = requires(T& object, Binder& binder) {
  T::fields(object, binder);
};
template <class T>
concept HasValidate = requires(const T& object) {
  object.validate();
};
template <class T>
struct IsVector : std::false_type {};
template <class T>
struct IsVector<std::vector<T>> : std::true_type {};

template <class T>
Table bind(T& object);
template <class T>
TableList bind_list(std::vector<T>& list);

class Binder {
 public:
  template <class T>
  void operator()(const char* name, T& member, const char* doc, Limits limits = any()) {
    if constexpr (HasFields<T>) {
      table.fields.push_back({name, doc, std::move(limits), bind(member)});
    } else if constexpr (std::is_constructible_v<Target, T*>) {
      table.fields.push_back({name, doc, std::move(limits), &member});
    } else {
      static_assert(IsVector<T>::value, "not a type that a configuration key can have");
      table.fields.push_back({name, doc, std::move(limits), bind_list(member)});
    }
  }

  Table table;
};

template <class T>
Table bind(T& object) {
  Binder binder;
  T::fields(object, binder);
  if constexpr (HasValidate<T>) binder.table.validate = [&object] { object.validate(); };
  return std::move(binder.table);
}

template <class T>
TableList bind_list(std::vector<T>& list) {
  static_assert(HasFields<T>, "not a type that a configuration key can have");
  TableList bound;
  bound.size = [&list] { return list.size(); };
  bound.at = [&list](size_t index) { return bind(list[index]); };
  bound.append = [&list] { return bind(list.emplace_back()); };
  bound.clear = [&list] { list.clear(); };
  bound.prototype = [] {
    const auto element = std::make_shared<T>();
    Table table = bind(*element);
    table.owner = element;
    return table;
  };
  return bound;
}

}  // namespace detail

/// @param object must outlive the result.
template <class T>
Table bind(T& object) {
  return detail::bind(object);
}

/// Whether a bare string may stand for the table: it has a string key `kind`.
bool has_kind(const Table& table);

/// Calls `visit` for every field, depth first in the order of `fields`, tables before their keys.
/// Inside an array of tables a path reads "optimizer.groups[].pattern".
void walk(const Table& table,
          const std::function<void(const std::string& path, const Field&)>& visit);

/// "integer", "list of numbers", "table", ...
std::string type_name(const Field& field);
/// What values it takes: "at least 1", "one of a, b"; empty for any.
std::string limits_text(const Field& field);
/// The shortest decimal that reads back as the same double.
std::string shortest(double value);

}  // namespace hecate::config
