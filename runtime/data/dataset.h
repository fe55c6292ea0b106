#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "runtime/data/text_reader.h"

/// A prepared dataset: a directory with `dataset.json`, token files, the tokenizer and the
/// held-out text.
namespace hecate::data {

inline constexpr const char* kDatasetFile = "dataset.json";
inline constexpr const char* kTrainFile = "train.tok";
inline constexpr const char* kValidationFile = "validation.tok";
inline constexpr const char* kValidationText = "validation.txt";

struct SplitInfo {
  uint64_t tokens = 0;     ///< document ends included
  uint64_t bytes = 0;      ///< of text: what bits per byte divides by
  uint64_t documents = 0;  ///< closed in this part
};

/// The content of `dataset.json`.
struct DatasetInfo {
  std::string tokenizer;           ///< one of tokenizer_names()
  std::string tokenizer_identity;  ///< Tokenizer::identity()
  int64_t vocabulary = 0;
  int64_t document_end = -1;
  SplitInfo train;
  SplitInfo validation;  ///< no tokens: nothing was held out and its files do not exist
  std::vector<SourceInfo> sources;
};

/// Writes `dataset.json`, fsynced. @throws IoError
void write_dataset_info(const DatasetInfo& info, const std::filesystem::path& directory);

/// @throws IoError if it cannot be read; InvalidArgument if a field is missing or of a wrong type.
DatasetInfo read_dataset_info(const std::filesystem::path& directory);

}  // namespace hecate::data
