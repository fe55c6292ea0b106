#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/io/file.h"

/// NumPy's .npy files, versions 1 to 3, C order: what numpy.save writes and numpy.load reads.
namespace hecate::io {

struct NpyHeader {
  std::string type;            ///< as NumPy spells it: "<u2", "<f4", "|u1"
  std::vector<int64_t> shape;  ///< row-major
  size_t bytes = 0;            ///< of the header itself: where the values begin

  int64_t elements() const;
};

/// @param file at least the header's bytes. @param source names the file in messages.
/// @throws InvalidArgument saying what was found for anything that is no C-order array of plain
///   numbers.
NpyHeader parse_npy_header(std::string_view file, const std::string& source);

/// The header of an array; its length depends on the number of dimensions alone.
std::string npy_header(std::string_view type, std::span<const int64_t> shape);

/// An array read through a mapping.
class NpyFile {
 public:
  /// @throws IoError; InvalidArgument naming the file if it is no array or shorter than it says.
  explicit NpyFile(const std::filesystem::path& path);

  const std::string& type() const { return header_.type; }
  const std::vector<int64_t>& shape() const { return header_.shape; }
  /// The values; T's size must be the type's.
  template <class T>
  std::span<const T> values() const {
    return {reinterpret_cast<const T*>(data(sizeof(T))), static_cast<size_t>(header_.elements())};
  }

 private:
  const std::byte* data(size_t element_bytes) const;

  MappedFile file_;
  NpyHeader header_;
};

/// An array that grows by rows of its first dimension. Readers may open the file at any time: the
/// header counts the rows of the last flush(), what is behind them is not seen. An appended row
/// survives a crash of the process, a flushed one a crash of the machine.
class NpyAppender {
 public:
  /// Opens or creates a file that continues after `rows` rows: later ones are dropped, missing ones
  /// are zeros.
  /// @throws IoError; InvalidArgument naming the file if it holds another type or row shape.
  NpyAppender(std::filesystem::path path, std::string_view type, std::span<const int64_t> row_shape,
              int64_t rows);
  /// Flushes where that succeeds.
  ~NpyAppender();
  NpyAppender(const NpyAppender&) = delete;
  NpyAppender& operator=(const NpyAppender&) = delete;

  /// @param row the bytes of one row. @throws IoError (disk full: it says so); no part of the row
  ///   counts then.
  void append(std::span<const std::byte> row);
  /// Makes all rows durable, then the header.
  void flush();

  int64_t rows() const { return rows_; }
  /// Rows that the constructor filled with zeros.
  int64_t filled() const { return filled_; }
  int64_t row_bytes() const { return row_bytes_; }

 private:
  void reopen(int64_t rows, int64_t file_bytes);
  int64_t end() const { return header_bytes_ + rows_ * row_bytes_; }
  void write_header();
  void write_at(const void* data, size_t bytes, int64_t offset, std::string_view operation);
  void resize(int64_t bytes);

  std::filesystem::path path_;
  std::string type_;
  std::vector<int64_t> shape_;  // rows first
  int64_t row_bytes_ = 0, header_bytes_ = 0, rows_ = 0, filled_ = 0;
  int descriptor_ = -1;
};

}  // namespace hecate::io
