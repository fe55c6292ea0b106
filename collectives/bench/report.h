#pragma once
#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hecate::collectives::bench {

/// One figure: what was measured, and names with numbers or words in order.
class Record {
 public:
  Record(std::string_view suite, std::string_view name) : suite_(suite), name_(name) {}
  Record& add(std::string key, double value);
  Record& add(std::string key, std::string_view word);

  const std::string& suite() const { return suite_; }
  const std::string& name() const { return name_; }
  /// 0 and "" where there is none.
  double number(std::string_view key) const;
  std::string word(std::string_view key) const;

 private:
  friend class Report;
  struct Field {
    std::string key, text;
    double number = 0;
    bool is_word = false;
  };
  const Field* find(std::string_view key) const;

  std::string suite_, name_;
  std::vector<Field> fields_;
};

/// Takes records and writes each at once: a JSON object per line, a row of a table for people.
class Report {
 public:
  /// @param table,jsonl may be null. Both outlive the report.
  Report(std::ostream* table, std::ostream* jsonl) : table_(table), jsonl_(jsonl) {}
  void add(Record record);
  const std::vector<Record>& records() const { return records_; }

 private:
  void write_row(const Record& record);
  void write_line(const Record& record) const;

  std::ostream* table_;
  std::ostream* jsonl_;
  std::string header_;  // of the rows written last
  std::vector<Record> records_;
};

}  // namespace hecate::collectives::bench
