#include "launcher/config/config.h"
#include "runtime/base/error.h"

namespace hecate::config {
namespace {

std::string literal(bool value) {
  return value ? "true" : "false";
}
std::string literal(int64_t value) {
  return std::to_string(value);
}

// Marked as a number with a fraction, whatever its value.
std::string literal(double value) {
  const std::string text = shortest(value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}

std::string literal(const std::string& value) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string text = "\"";
  for (const char c : value) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      text += {'\\', c};
    else if (code < 0x20 || code == 0x7f)
      text += {'\\', 'u', '0', '0', kHex[code >> 4], kHex[code & 15]};
    else
      text += c;
  }
  return text + '"';
}

template <class T>
std::string literal(const std::vector<T>& values) {
  std::string text;
  for (const T& value : values) text += (text.empty() ? "" : ", ") + literal(value);
  return "[" + text + "]";
}

// Of a key that is no table; an empty list of tables is one.
std::string value_text(const Field& field) {
  return std::visit(
      [](const auto& target) -> std::string {
        if constexpr (std::is_pointer_v<std::remove_cvref_t<decltype(target)>>)
          return literal(*target);
        else
          return "[]";
      },
      field.target);
}

bool is_section(const Field& field) {
  if (const auto* list = std::get_if<TableList>(&field.target)) return list->size() > 0;
  return std::holds_alternative<Table>(field.target);
}

void print_table(const Table& table, const std::string& path, std::string& out) {
  for (const Field& field : table.fields)
    if (!is_section(field)) out += field.name + " = " + value_text(field) + "\n";
  for (const Field& field : table.fields) {
    const std::string name = path.empty() ? field.name : path + "." + field.name;
    if (const auto* nested = std::get_if<Table>(&field.target)) {
      out += "\n[" + name + "]\n";
      print_table(*nested, name, out);
    } else if (const auto* list = std::get_if<TableList>(&field.target)) {
      for (size_t i = 0; i < list->size(); ++i) {
        out += "\n[[" + name + "]]\n";
        print_table(list->at(i), name, out);
      }
    }
  }
}

void explain_table(const Table& table, const std::string& path, std::string& out) {
  for (const Field& field : table.fields) {
    if (std::holds_alternative<Table>(field.target)) continue;
    const std::string limits = limits_text(field);
    out += concat("  ", field.name, " = ", value_text(field), "  (", type_name(field),
                  limits.empty() ? "" : "; ", limits, ")\n      ", field.doc, "\n");
  }
  for (const Field& field : table.fields) {
    const std::string name = path.empty() ? field.name : path + "." + field.name;
    if (const auto* nested = std::get_if<Table>(&field.target)) {
      const char* bare = has_kind(*nested) ? " (a bare string sets `kind`)" : "";
      out += concat("\n[", name, "]  ", field.doc, bare, "\n");
      explain_table(*nested, name, out);
    } else if (const auto* list = std::get_if<TableList>(&field.target)) {
      out += concat("\n[[", name, "]]  ", field.doc, "\n");
      explain_table(list->prototype(), name, out);
    }
  }
}

}  // namespace

std::string print(const Table& root) {
  std::string out;
  print_table(root, "", out);
  return out;
}

std::string explain(const Table& root) {
  std::string out;
  explain_table(root, "", out);
  return out;
}

std::string list_keys(const Table& root) {
  std::string out;
  walk(root, [&](const std::string& path, const Field& field) {
    if (std::holds_alternative<Table>(field.target)) return;
    const std::string limits = limits_text(field);
    out += concat(path, ": ", type_name(field), limits.empty() ? "" : ", ", limits, "\n");
  });
  return out;
}

}  // namespace hecate::config
