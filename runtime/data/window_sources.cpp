#include "runtime/data/window_sources.h"

#include "runtime/base/error.h"
#include "runtime/data/text_split.h"

namespace hecate::data {
namespace {

namespace fs = std::filesystem;

/// False, too, where the path cannot be looked at: opening it then says why.
bool is_dataset(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

/// One part of a dataset directory; no file if nothing was held out.
OpenedSource open_dataset(const fs::path& directory, Part part) {
  OpenedSource opened;
  opened.info = read_dataset_info(directory);
  const bool training = part == Part::train;
  const uint64_t tokens = training ? opened.info->train.tokens : opened.info->validation.tokens;
  if (!training && tokens == 0) return opened;
  opened.file = TokenFile::open(directory / (training ? kTrainFile : kValidationFile));
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
  if (is_dataset(path)) return open_dataset(path, Part::train);
  OpenedSource opened;
  opened.file = TokenFile::open(path);
  return opened;
}

std::vector<OpenedSource> open_validation(const DataConfig& config) {
  std::vector<OpenedSource> sources;
  if (!config.validation.empty() && !is_dataset(config.validation)) {
    sources.push_back(open_training(config.validation));
    return sources;
  }
  std::vector<SourceConfig> wanted = {{config.validation, 1.0}};
  if (config.validation.empty()) wanted = source_configs(config);
  for (const SourceConfig& source : wanted) {
    if (!is_dataset(source.path)) {
      TokenFile::open(
          source.path);  // has no held-out part, but a missing file is an error here too
      continue;
    }
    OpenedSource opened = open_dataset(source.path, Part::validation);
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
