#include "collectives/bench/report.h"

#include <algorithm>
#include <array>
#include <iomanip>
#include <ostream>
#include <sstream>

namespace hecate::collectives::bench {
namespace {

std::string text_of(double value) {
  std::ostringstream text;
  text << std::setprecision(5) << value;
  return text.str();
}

std::string bytes_text(double bytes) {
  constexpr std::array<const char*, 4> kUnits = {"B", "KiB", "MiB", "GiB"};
  size_t unit = 0;
  while (bytes >= 1024 && unit + 1 < kUnits.size()) bytes /= 1024, ++unit;
  return text_of(bytes) + ' ' + kUnits[unit];
}

}  // namespace

Record& Record::add(std::string key, double value) {
  fields_.push_back({.key = std::move(key), .text = text_of(value), .number = value});
  return *this;
}

Record& Record::add(std::string key, std::string_view word) {
  fields_.push_back(
      {.key = std::move(key), .text = std::string(word), .number = 0, .is_word = true});
  return *this;
}

const Record::Field* Record::find(std::string_view key) const {
  const auto at =
      std::find_if(fields_.begin(), fields_.end(), [&](const Field& f) { return f.key == key; });
  return at == fields_.end() ? nullptr : &*at;
}

double Record::number(std::string_view key) const {
  const Field* field = find(key);
  return field == nullptr ? 0 : field->number;
}

std::string Record::word(std::string_view key) const {
  const Field* field = find(key);
  return field == nullptr ? std::string() : field->text;
}

void Report::add(Record record) {
  write_line(record);
  write_row(record);
  records_.push_back(std::move(record));
}

void Report::write_line(const Record& record) const {
  if (jsonl_ == nullptr) return;
  *jsonl_ << R"({"suite": ")" << record.suite_ << R"(", "name": ")" << record.name_ << '"';
  for (const Record::Field& field : record.fields_) {
    const char* quote = field.is_word ? "\"" : "";
    *jsonl_ << ", \"" << field.key << "\": " << quote << field.text << quote;
  }
  *jsonl_ << "}\n" << std::flush;
}

void Report::write_row(const Record& record) {
  if (table_ == nullptr) return;
  constexpr int kName = 16, kGap = 2, kLeast = 8;
  std::ostringstream header, row;
  header << std::left << std::setw(kName) << record.suite_;
  row << std::left << std::setw(kName) << record.name_ << std::right;
  for (const Record::Field& field : record.fields_) {
    const bool bytes = !field.is_word && field.key.find("bytes") != std::string::npos;
    const std::string& text = bytes ? bytes_text(field.number) : field.text;
    const int width =
        kGap + std::max({kLeast, static_cast<int>(field.key.size()), field.is_word ? kName : 0});
    header << std::right << std::setw(width) << field.key;
    row << std::setw(width) << text;
  }
  if (header.str() != header_) *table_ << (header_.empty() ? "" : "\n") << header.str() << '\n';
  header_ = header.str();
  *table_ << row.str() << std::endl;
}

}  // namespace hecate::collectives::bench
