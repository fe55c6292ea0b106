#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "runtime/tensor/dtype.h"
#include "runtime/tensor/tensor_view.h"

/// The safetensors file format (https://github.com/huggingface/safetensors, "Format"): a u64
/// little-endian header length N, N bytes of JSON padded with spaces, then the tensors' bytes,
/// row-major and little-endian, back to back in the order of their offsets.
namespace hecate::io {

/// Larger headers are refused, as in the reference implementation.
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;

using Metadata = std::map<std::string, std::string>;

struct TensorInfo {
  std::string name;
  std::string dtype;  ///< the format's name, also those without a DType: "F16", "F8_E4M3", ...
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  ///< bytes, counted from the start of the data section

  uint64_t bytes() const { return end - begin; }
};

/// A tensor to be written; the writer fills in the offsets.
TensorInfo tensor_info(std::string name, DType dtype, const Shape& shape);

std::optional<DType> parse_dtype(std::string_view name);
/// @throws InvalidArgument naming the tensor if `dtype` has no DType.
DType native_dtype(const TensorInfo& tensor);
/// @throws InvalidArgument naming the tensor if it has more dimensions than Shape holds.
Shape native_shape(const TensorInfo& tensor);
/// @throws InvalidArgument beyond Shape::kMaxRank dimensions.
Shape make_shape(std::span<const int64_t> dims);

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  ///< by ascending offset
  Metadata metadata;
  uint64_t data_begin = 0;  ///< offset of the data section in the file
};

/// Reads and checks the header of a whole file. Offsets must tile the data section without holes or
/// overlaps, agree with dtype and shape, and end where the file ends; keys must be unique.
/// @param label names the file in messages.
/// @throws InvalidArgument saying what is wrong with which tensor.
SafetensorsHeader parse_header(std::span<const std::byte> file, std::string_view label);

/// Sorts `tensors` into file order (wider elements first, then by name, which keeps every tensor
/// aligned), sets their offsets and returns the bytes that precede the data section: a multiple of
/// eight.
/// @throws InvalidArgument for a name used twice or reserved, an unknown dtype, a negative or
///   overflowing size, or text that is not UTF-8.
std::string build_header(std::vector<TensorInfo>& tensors, const Metadata& metadata);

/// A memory-mapped file and the views into it, which live as long as this object.
class SafetensorsFile {
 public:
  /// @throws IoError if it cannot be mapped, InvalidArgument if it is malformed.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::span<const TensorInfo> tensors() const { return header_.tensors; }
  const Metadata& metadata() const { return header_.metadata; }

  /// Null when there is none.
  const TensorInfo* find(std::string_view name) const;
  /// @throws InvalidArgument with the nearest name.
  const TensorInfo& at(std::string_view name) const;
  /// The raw bytes; not necessarily aligned in files by other writers.
  std::span<const std::byte> bytes(const TensorInfo& tensor) const;
  /// @throws InvalidArgument if there is no such tensor, its dtype is not T's, or it is not aligned
  ///   for T.
  template <class T>
  View<const T> view(std::string_view name) const {
    const TensorInfo& tensor = at(name);
    check_viewable(tensor, dtype_of<T>(), alignof(T));
    return {reinterpret_cast<const T*>(bytes(tensor).data()), native_shape(tensor)};
  }

 private:
  void check_viewable(const TensorInfo& tensor, DType dtype, size_t alignment) const;

  std::filesystem::path path_;
  MappedFile file_;
  SafetensorsHeader header_;
  std::map<std::string, size_t, std::less<>> index_;
};

/// Writes a file in one pass, holding none of the data. Append the tensors' bytes in the order of
/// tensors(), each in as many pieces as convenient, then finish().
class SafetensorsWriter {
 public:
  /// @throws as build_header and FileWriter.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorInfo> tensors,
                    const Metadata& metadata = {});

  /// In file order, with offsets.
  std::span<const TensorInfo> tensors() const { return tensors_; }
  /// The next bytes of tensor `name`.
  /// @throws InvalidArgument if it is not this tensor's turn or the bytes exceed it.
  void append(std::string_view name, std::span<const std::byte> bytes);
  /// Durable afterwards (but for the directory entry).
  /// @throws InvalidArgument if bytes are missing.
  FileDigest finish();

 private:
  void skip_complete();

  std::filesystem::path path_;
  std::vector<TensorInfo> tensors_;
  std::string header_;
  FileWriter file_;
  size_t current_ = 0;
  uint64_t written_ = 0;  // of the data section
};

/// A tensor in memory.
struct TensorData {
  TensorInfo info;
  std::span<const std::byte> bytes;
};
template <class T>
TensorData tensor_data(std::string name, View<const T> view) {
  HECATE_CHECK(view.contiguous(), "tensor_data: ", name, " is not contiguous");
  return {tensor_info(std::move(name), dtype_of<T>(), view.shape()),
          std::as_bytes(std::span(view.data(), static_cast<size_t>(view.size())))};
}

/// The whole file at once, in any order, replaced atomically.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorData> tensors,
                       const Metadata& metadata = {});

}  // namespace hecate::io
