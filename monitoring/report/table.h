#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace hecate::monitoring {

/// Rows of numbers under dotted names, such as "breakdown.attention". A row that says nothing under
/// a name has a NaN there.
class Table {
 public:
  void add_row() { ++rows_; }
  /// Of the last row. @throws InvalidArgument before the first row.
  void set(const std::string& column, double value);

  int64_t rows() const { return rows_; }
  /// Names in alphabetical order.
  std::vector<std::string> columns() const;
  bool has(const std::string& column) const { return columns_.contains(column); }
  /// One value per row; all NaN for an unknown name.
  std::vector<double> values(const std::string& column) const;
  /// The last value that is finite; NaN: none.
  double last(const std::string& column) const;
  /// Of the finite values in the last half of the rows, where a run has settled; NaN: none.
  double median(const std::string& column) const;
  /// The same rows' mean, where a missing value counts as `missing`. NaN where the column is.
  double mean(const std::string& column, double missing = 0) const;

 private:
  int64_t rows_ = 0;
  std::map<std::string, std::vector<double>> columns_;  // may be shorter than rows_
};

/// At most `most` rows: equal numbers of neighbours are put together, as the mean of what is finite
/// or, for the columns named in `running` (counters such as the step), as the last value. Where
/// rows were put together, each column named in `spread` gets "<name>.low" and "<name>.high".
/// @throws InvalidArgument unless `most` is positive.
Table thinned(const Table& table, int64_t most, const std::vector<std::string>& running,
              const std::vector<std::string>& spread);

}  // namespace hecate::monitoring
