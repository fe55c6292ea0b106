#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/base/error.h"

/// Files. Every failure is an IoError with the path, the operation and the system's reason; a full
/// disk is called that, with the bytes that found no room.
namespace hecate::io {

/// "PATH: operation: reason" for an errno value.
IoError io_error(const std::filesystem::path& path, std::string_view operation, int reason);

/// The whole file, read-only, mapped into memory. The pages are read when touched: a file that is
/// truncated by somebody else meanwhile faults, so files are replaced by renames only.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Creates or truncates a file and appends to it. Not durable, nor even complete, before finish().
class FileWriter {
 public:
  /// @param expected_bytes final size if known: a full-disk error then counts all that is missing.
  explicit FileWriter(const std::filesystem::path& path, uint64_t expected_bytes = 0);
  /// Closes; keeps whatever was written.
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// Flushes, fsyncs and closes; nothing may follow.
  void finish();

  /// Bytes given to write() so far, and their CRC-32C.
  uint64_t bytes() const { return given_; }
  uint32_t checksum() const { return checksum_; }

 private:
  void flush();
  void write_through(std::span<const std::byte> bytes);
  IoError failure(std::string_view operation, int reason) const;

  std::filesystem::path path_;
  std::string buffer_;
  uint64_t expected_ = 0, given_ = 0, on_disk_ = 0;
  uint32_t checksum_ = 0;
  int descriptor_ = -1;
};

std::string read_file(const std::filesystem::path& path);

/// Replaces `path` as a whole: written aside (`.NAME.tmp`), fsynced, renamed, directory fsynced.
/// After a failure or a crash the old file is untouched. One writer per path at a time.
void write_aside(const std::filesystem::path& path, const std::function<void(FileWriter&)>& produce,
                 uint64_t expected_bytes = 0);
void write_file(const std::filesystem::path& path, std::string_view content);

/// rename(2) without the fsync of the directory.
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to);
/// Makes new names and renames in `directory` durable.
void sync_directory(const std::filesystem::path& directory);

/// Size and CRC-32C, by reading (not mapping), so that a failing disk is an IoError.
struct FileDigest {
  uint64_t bytes = 0;
  uint32_t checksum = 0;
};
FileDigest digest_file(const std::filesystem::path& path);

}  // namespace hecate::io
