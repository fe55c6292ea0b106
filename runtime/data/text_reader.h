#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Text files as a stream of documents.
namespace hecate::data {

/// One input file of a dataset.
struct SourceInfo {
  std::string name;    ///< as it was given
  uint64_t bytes = 0;  ///< unpacked
  std::string crc32c;  ///< of the unpacked bytes
};

/// Who receives the documents of a walk.
struct DocumentSink {
  /// Consecutive bytes of the current document, cut at line ends or, in lines above 1 MiB, between
  /// characters.
  std::function<void(std::string_view)> text;
  /// After the last text of each document; empty documents are skipped.
  std::function<void()> end;
};

/// Reads `files` in order, plain or gzip (recognised by content). Every file ends a document, and
/// so does every line equal to `separator`, which belongs to no document; empty: no such line.
/// @throws IoError if a file is missing, unreadable or a truncated or altered gzip file.
std::vector<SourceInfo> walk_documents(std::span<const std::filesystem::path> files,
                                       const std::string& separator, const DocumentSink& sink);

}  // namespace hecate::data
