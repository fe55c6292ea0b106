#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/data/config.h"
#include "runtime/data/dataset.h"
#include "runtime/data/loader.h"
#include "runtime/data/token_file.h"

/// How loaders find and check the files that a DataConfig names; internal to this folder.
namespace hecate::data {

struct OpenedSource {
  std::unique_ptr<TokenFile> file;
  std::optional<DatasetInfo> info;  ///< of a dataset directory
};

/// data.path as one source of weight 1, or data.mixture. @throws as DataConfig::validate.
std::vector<SourceConfig> source_configs(const DataConfig& config);

/// The training part of a dataset directory, or a token file.
OpenedSource open_training(const std::string& path);

/// What Validation reads; sources without a held-out part give nothing.
std::vector<OpenedSource> open_validation(const DataConfig& config);

/// @throws InvalidArgument if the file's vocabulary or data.document_end does not fit the model's.
WindowReader make_reader(const DataConfig& config, const TokenFile& file, int64_t vocabulary);

}  // namespace hecate::data
