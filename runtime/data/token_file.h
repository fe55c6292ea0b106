#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/io/file.h"

/// Token ids on disk, read through a memory map.
///
/// Formats, recognised by content and name:
///   .tok            this project's: TokenHeader, then u16 or u32 ids, little-endian
///   llm.c .bin      256 int32 (magic 20240520, version 1, count; then u16) or (20240801, 7, count;
///                   then u32)
///   Megatron        PREFIX.bin beside PREFIX.idx ("MMIDIDX"; u8, i16, i32, i64 or u16 ids); the
///                   path is any of the two or PREFIX
///   nanoGPT .bin    bare u16
namespace hecate::data {

/// The first 64 bytes of a .tok file.
struct TokenHeader {
  char magic[8] = {'H', 'E', 'C', 'T', 'O', 'K', 'E', 'N'};
  uint32_t version = 1;
  uint32_t id_bytes = 2;      ///< 2 or 4
  uint64_t count = 0;         ///< ids
  int64_t vocabulary = 0;     ///< ids are below
  int64_t document_end = -1;  ///< id that closes a document; -1: none
  uint32_t crc32c = 0;        ///< of the ids' bytes
  uint32_t reserved[5] = {};
};
static_assert(sizeof(TokenHeader) == 64);

enum class TokenType : uint8_t { u8, i16, u16, i32, u32, i64 };

/// Where the ids lie and what their file tells about them.
struct TokenLayout {
  std::string format;  ///< "tok", "nanogpt", "llm.c" or "megatron"
  TokenType type = TokenType::u16;
  uint64_t offset = 0;        ///< bytes before the first id
  uint64_t count = 0;         ///< ids
  int64_t vocabulary = 0;     ///< 0: unknown
  int64_t document_end = -1;  ///< -1: none or unknown
  uint32_t crc32c = 0;        ///< only in "tok"
  /// First id of each document, ascending (Megatron only; elsewhere document_end marks them).
  std::vector<uint64_t> document_starts;
};

class TokenFile {
 public:
  /// @throws IoError if a file is missing or unreadable; InvalidArgument if it is empty, truncated,
  ///   longer than its header says, or of no known format.
  static std::unique_ptr<TokenFile> open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::string& format() const { return layout_.format; }
  uint64_t size() const { return layout_.count; }
  int64_t vocabulary() const { return layout_.vocabulary; }
  int64_t document_end() const { return layout_.document_end; }
  std::span<const uint64_t> document_starts() const { return layout_.document_starts; }

  /// Copies ids [first, first + ids.size()), which must lie inside the file. Allocates nothing.
  /// @throws InvalidArgument naming file, position, id and vocabulary for an id outside
  ///   [0, vocabulary).
  void read(uint64_t first, std::span<int32_t> ids, int64_t vocabulary) const;

  /// Reads everything: every id is inside `vocabulary` and, in a .tok file, the checksum holds.
  /// @throws InvalidArgument
  void verify(int64_t vocabulary) const;

  /// Tells this content from another's: format, count and a checksum (of samples of the ids where
  /// the format stores none).
  std::string identity() const;

 private:
  TokenFile(std::filesystem::path path, std::unique_ptr<io::MappedFile> file, TokenLayout layout);

  std::filesystem::path path_;
  std::unique_ptr<io::MappedFile> file_;
  TokenLayout layout_;
  std::span<const std::byte> ids_;
};

/// Writes a .tok file; ids take 2 bytes if the vocabulary allows it.
class TokenWriter {
 public:
  /// @throws InvalidArgument for a vocabulary outside [1, 2^31); IoError
  TokenWriter(const std::filesystem::path& path, int64_t vocabulary, int64_t document_end);

  /// @throws InvalidArgument for an id outside the vocabulary; IoError
  void append(std::span<const int32_t> ids);
  uint64_t count() const { return header_.count; }
  /// Completes the header and fsyncs. Without it the file has no valid header.
  void finish();

 private:
  std::filesystem::path path_;
  io::FileWriter file_;
  TokenHeader header_;
  std::vector<std::byte> packed_;
};

}  // namespace hecate::data
