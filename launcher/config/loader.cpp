#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "launcher/config/config.h"
#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"
#include "runtime/io/file.h"

namespace hecate::config {
namespace {

constexpr int64_t kExactDouble = int64_t{1} << 53;

std::string expectation(const Field& field) {
  const std::string limits = limits_text(field), type = type_name(field);
  std::string text = (type[0] == 'i' ? "an " : "a ") + type;
  if (limits.empty()) return text;
  return field.limits.choices.empty() ? text + ", " + limits : limits;
}

class Loader {
 public:
  explicit Loader(const Table& root) : root_(&root) {}

  void apply(const Value& document) { apply_table(*root_, "", document); }
  void check(const Table& table, const std::string& path,
             const std::vector<std::string>& unchecked) const;

 private:
  void apply_table(const Table& table, const std::string& path, const Value& value);
  void apply_field(const Field& field, const std::string& path, const Value& value);
  void apply_list(const TableList& list, const Field& field, const std::string& path,
                  const Value& value);
  template <class T>
  void assign(T* target, const Field& field, const std::string& path, const Value& value) {
    *target = scalar(static_cast<T*>(nullptr), field, path, value);
  }
  template <class T>
  void assign(std::vector<T>* target, const Field& field, const std::string& path,
              const Value& value);
  bool scalar(bool*, const Field& field, const std::string& path, const Value& value) const;
  int64_t scalar(int64_t*, const Field& field, const std::string& path, const Value& value) const;
  double scalar(double*, const Field& field, const std::string& path, const Value& value) const;
  std::string scalar(std::string*, const Field& field, const std::string& path,
                     const Value& value) const;
  void check_limits(double number, const Field& field, const std::string& path,
                    const Value& value) const;
  [[noreturn]] void unknown_key(const Table& table, const std::string& path, const std::string& key,
                                const Value& value) const;
  [[noreturn]] void wrong_value(const Field& field, const std::string& path, const Value& value,
                                const std::string& hint = "") const;
  std::optional<Location> location_in(const std::string& message) const;

  const Table* root_;
  std::map<std::string, Location> origins_;  // keys that were set
};

void Loader::apply_table(const Table& table, const std::string& path, const Value& value) {
  for (size_t i = 0; i < value.items.size(); ++i) {
    const Field* field = table.find(value.keys[i]);
    if (field == nullptr) unknown_key(table, path, value.keys[i], value.items[i]);
    apply_field(*field, path + value.keys[i], value.items[i]);
  }
}

void Loader::apply_field(const Field& field, const std::string& path, const Value& value) {
  origins_[path] = value.where;
  if (const auto* table = std::get_if<Table>(&field.target)) {
    if (value.kind == Value::Kind::table) return apply_table(*table, path + ".", value);
    if (value.kind == Value::Kind::string && has_kind(*table))
      return apply_field(*table->find("kind"), path + ".kind", value);
    wrong_value(field, path, value, has_kind(*table) ? " or a kind (string)" : "");
  }
  if (const auto* list = std::get_if<TableList>(&field.target))
    return apply_list(*list, field, path, value);
  std::visit(
      [&](const auto& target) {
        if constexpr (std::is_pointer_v<std::remove_cvref_t<decltype(target)>>)
          assign(target, field, path, value);
      },
      field.target);
}

void Loader::apply_list(const TableList& list, const Field& field, const std::string& path,
                        const Value& value) {
  if (value.kind != Value::Kind::list) wrong_value(field, path, value);
  list.clear();
  for (size_t i = 0; i < value.items.size(); ++i) {
    const std::string name = concat(path, "[", i, "]");
    if (value.items[i].kind != Value::Kind::table) wrong_value(field, name, value.items[i]);
    apply_table(list.append(), name + ".", value.items[i]);
  }
}

template <class T>
void Loader::assign(std::vector<T>* target, const Field& field, const std::string& path,
                    const Value& value) {
  if (value.kind != Value::Kind::list) wrong_value(field, path, value);
  target->clear();
  for (size_t i = 0; i < value.items.size(); ++i)
    target->push_back(
        scalar(static_cast<T*>(nullptr), field, concat(path, "[", i, "]"), value.items[i]));
}

bool Loader::scalar(bool*, const Field& field, const std::string& path, const Value& value) const {
  if (value.kind != Value::Kind::boolean) wrong_value(field, path, value, " (true or false)");
  return value.boolean;
}

int64_t Loader::scalar(int64_t*, const Field& field, const std::string& path,
                       const Value& value) const {
  if (value.kind != Value::Kind::integer) wrong_value(field, path, value);
  check_limits(static_cast<double>(value.integer), field, path, value);
  return value.integer;
}

double Loader::scalar(double*, const Field& field, const std::string& path,
                      const Value& value) const {
  const bool integer = value.kind == Value::Kind::integer;
  if (!integer && value.kind != Value::Kind::real) wrong_value(field, path, value);
  if (integer && (value.integer > kExactDouble || value.integer < -kExactDouble))
    wrong_value(field, path, value, " that a double holds exactly");
  const double number = integer ? static_cast<double>(value.integer) : value.real;
  if (!std::isfinite(number)) wrong_value(field, path, value, " and finite");
  check_limits(number, field, path, value);
  return number;
}

std::string Loader::scalar(std::string*, const Field& field, const std::string& path,
                           const Value& value) const {
  const bool plain = value.kind == Value::Kind::string;
  if (!plain && value.raw.empty()) {
    const bool number = value.kind == Value::Kind::integer || value.kind == Value::Kind::real;
    wrong_value(field, path, value, number ? "; write it in quotes" : "");
  }
  const std::string& text = plain ? value.string : value.raw;
  const std::vector<std::string>& choices = field.limits.choices;
  if (choices.empty() || std::find(choices.begin(), choices.end(), text) != choices.end())
    return text;
  const std::string nearest = nearest_name(text, choices);
  wrong_value(field, path, value, nearest.empty() ? "" : "; nearest: " + nearest);
}

void Loader::check_limits(double number, const Field& field, const std::string& path,
                          const Value& value) const {
  if (!(number >= field.limits.min && number <= field.limits.max)) wrong_value(field, path, value);
}

void Loader::wrong_value(const Field& field, const std::string& path, const Value& value,
                         const std::string& hint) const {
  throw InvalidArgument(concat(value.where.text(), ": ", path, " is ", value.describe(),
                               ": expected ", expectation(field), hint));
}

// A key in the wrong table is as common as a misspelt one: siblings first, then the same name
// elsewhere, then anything alike.
void Loader::unknown_key(const Table& table, const std::string& path, const std::string& key,
                         const Value& value) const {
  std::vector<std::string> siblings, all;
  for (const Field& field : table.fields) siblings.push_back(field.name);
  std::string nearest = nearest_name(key, siblings);
  if (!nearest.empty()) nearest = path + nearest;
  if (nearest.empty())
    walk(*root_, [&](const std::string& name, const Field& field) {
      all.push_back(name);
      if (nearest.empty() && field.name == key) nearest = name;
    });
  if (nearest.empty()) nearest = nearest_name(path + key, all);
  std::string known;
  for (const std::string& sibling : siblings) known += (known.empty() ? "" : ", ") + sibling;
  const std::string expected =
      nearest.empty()
          ? concat("; known ", path.empty() ? "" : "in " + path.substr(0, path.size() - 1),
                   path.empty() ? "at the top: " : ": ", known)
          : "; nearest: " + nearest;
  throw InvalidArgument(
      concat(value.where.text(), ": ", path, key, " is an unknown key", expected));
}

// Where `path` stands in the message as a name of its own; npos: nowhere.
size_t find_name(const std::string& message, const std::string& path) {
  const auto in_name = [&](size_t at) {
    return at < message.size() &&
           (std::isalnum(static_cast<unsigned char>(message[at])) || message[at] == '_');
  };
  for (size_t at = message.find(path); at != std::string::npos; at = message.find(path, at + 1)) {
    const size_t end = at + path.size();
    const bool begins = at == 0 || (!in_name(at - 1) && message[at - 1] != '.');
    const bool goes_on = in_name(end) || (message.compare(end, 1, ".") == 0 && in_name(end + 1));
    if (begins && !goes_on) return at;
  }
  return std::string::npos;
}

// Cross-field messages name keys; the first one that was set anywhere says where. A name without a
// dot may be a word of the sentence, so it counts only where no dotted one does.
std::optional<Location> Loader::location_in(const std::string& message) const {
  const Location* found = nullptr;
  std::pair<bool, size_t> best(true, std::string::npos);
  for (const auto& [path, where] : origins_) {
    const std::pair<bool, size_t> place(path.find('.') == std::string::npos,
                                        find_name(message, path));
    if (place.second == std::string::npos || place >= best) continue;
    best = place;
    found = &where;
  }
  return found == nullptr ? std::nullopt : std::optional(*found);
}

void Loader::check(const Table& table, const std::string& path,
                   const std::vector<std::string>& unchecked) const {
  if (std::find(unchecked.begin(), unchecked.end(), path) != unchecked.end()) return;
  const std::string prefix = path.empty() ? "" : path + ".";
  for (const Field& field : table.fields) {
    if (const auto* nested = std::get_if<Table>(&field.target))
      check(*nested, prefix + field.name, unchecked);
    if (const auto* list = std::get_if<TableList>(&field.target))
      for (size_t i = 0; i < list->size(); ++i)
        check(list->at(i), concat(prefix, field.name, "[", i, "]"), unchecked);
  }
  if (!table.validate) return;
  try {
    table.validate();
  } catch (const InvalidArgument& error) {
    const std::optional<Location> where = location_in(error.what());
    if (where) throw InvalidArgument(concat(where->text(), ": ", error.what()));
    throw;
  }
}

}  // namespace

void Settings::add_file(const std::filesystem::path& path) {
  add_text(io::read_file(path), path.string());
}

void Settings::add_text(std::string_view toml, const std::string& source) {
  layers_.push_back(parse_toml(toml, source));
}

void Settings::add_override(std::string_view text) {
  layers_.push_back(parse_override(text));
}

const Value* Settings::find(std::string_view path) const {
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) {
    const Value* value = &*layer;
    for (std::string_view rest = path; value != nullptr && !rest.empty();) {
      const size_t dot = std::min(rest.find('.'), rest.size());
      value = value->find(rest.substr(0, dot));
      rest.remove_prefix(std::min(dot + 1, rest.size()));
    }
    if (value != nullptr) return value;
  }
  return nullptr;
}

void apply(const Settings& settings, const Table& root, const std::vector<std::string>& unchecked) {
  Loader loader(root);
  for (const Value& layer : settings.layers()) loader.apply(layer);
  loader.check(root, "", unchecked);
}

}  // namespace hecate::config
