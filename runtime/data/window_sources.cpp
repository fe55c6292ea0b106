#include "runtime/data/window_sources.h"

#include <algorithm>
#include <array>

#include "runtime/base/error.h"

namespace hecate::data {
namespace {

namespace fs = std::filesystem;

/// The part `file_name` of a dataset directory; no file if the dataset lacks it.
OpenedSource open_part(const fs::path& directory, const char* file_name) {
  OpenedSource opened;
  opened.info = read_dataset_info(directory);
  if (file_name == kValidationFile && opened.info->validation.tokens == 0) return opened;
  opened.file = TokenFile::open(directory / file_name);
  const uint64_t tokens =
      file_name == kValidationFile ? opened.info->validation.tokens : opened.info->train.tokens;
  HECATE_CHECK(opened.file->size() == tokens, opened.file->path().string(), ": ",
               opened.file->size(), " tokens, but ", kDatasetFile, " says ", tokens);
  return opened;
}

}  // namespace

std::vector<SourceConfig> source_configs(const DataConfig& config) {
  config.validate();
  if (!config.mixture.empty()) return config.mixture;
  return {{config.path, 1.0}};
}

OpenedSource open_training(const std::string& path) {
  if (fs::is_directory(path)) return open_part(path, kTrainFile);
  OpenedSource opened;
  opened.file = TokenFile::open(path);
  return opened;
}

std::vector<OpenedSource> open_validation(const DataConfig& config) {
  std::vector<OpenedSource> sources;
  if (!config.validation.empty() && !fs::is_directory(config.validation)) {
    sources.push_back(open_training(config.validation));
    return sources;
  }
  std::vector<SourceConfig> wanted = {{config.validation, 1.0}};
  if (config.validation.empty()) wanted = source_configs(config);
  for (const SourceConfig& source : wanted) {
    if (!fs::is_directory(source.path)) continue;
    OpenedSource opened = open_part(source.path, kValidationFile);
    if (opened.file) sources.push_back(std::move(opened));
  }
  return sources;
}

WindowReader make_reader(const DataConfig& config, const TokenFile& file, int64_t vocabulary) {
  HECATE_CHECK(file.vocabulary() <= vocabulary, file.path().string(), ": the data's vocabulary (",
               file.vocabulary(), ") is larger than the model's (model.vocabulary = ", vocabulary,
               ")");
  WindowReader reader;
  reader.file = &file;
  reader.document_end = file.document_end() >= 0 ? file.document_end() : config.document_end;
  reader.vocabulary = vocabulary;
  reader.mask_documents = config.mask_documents;
  HECATE_CHECK(reader.document_end < vocabulary, file.path().string(), ": document end ",
               reader.document_end, " is outside the model's vocabulary of ", vocabulary);
  return reader;
}

}  // namespace hecate::data
