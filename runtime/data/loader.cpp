#include "runtime/data/loader.h"

#include <algorithm>
#include <cmath>

#include "runtime/base/error.h"
#include "runtime/data/window_sources.h"

namespace hecate::data {

DataDescription describe(const DataConfig& config) {
  DataDescription description;
  std::string first_path;
  for (const SourceConfig& source : source_configs(config)) {
    const OpenedSource opened = open_training(source.path);
    description.vocabulary = std::max(description.vocabulary, opened.file->vocabulary());
    if (!opened.info) continue;
    if (first_path.empty()) {
      first_path = source.path;
      description.tokenizer_identity = opened.info->tokenizer_identity;
      description.tokenizer_directory = source.path;
    }
    HECATE_CHECK(description.tokenizer_identity == opened.info->tokenizer_identity,
                 "data.mixture: ", first_path, " has tokenizer ", description.tokenizer_identity,
                 ", ", source.path, " has ", opened.info->tokenizer_identity);
  }
  return description;
}

Loader::Loader(const DataConfig& config, uint64_t seed, int64_t vocabulary, int64_t sequence)
    : sequence_(sequence) {
  describe(config);
  const bool subsets = config.sampler == "rs2";
  const double share = subsets ? config.rs2_share : 1.0;
  identity_ = concat("seed ", seed, ", sequence ", sequence, ", sampler ", config.sampler);
  if (subsets) identity_ += concat(" ", share);
  if (config.mask_documents) identity_ += concat(", masked documents");
  identity_ += ", sources";
  for (const SourceConfig& source : source_configs(config)) {
    OpenedSource opened = open_training(source.path);
    const TokenFile& file = *opened.file;
    const WindowReader reader = make_reader(config, file, vocabulary);
    HECATE_CHECK(file.size() > static_cast<uint64_t>(sequence), file.path().string(), ": ",
                 file.size(), " tokens are shorter than one sequence: a sample takes ",
                 sequence + 1, " (model.sequence and one)");
    const uint64_t stream = stream_of("data.windows") + sources_.size();
    identity_ += concat(" ", file.identity(), "*", source.weight);
    if (config.mask_documents) identity_ += concat("/", reader.document_end);
    weights_.push_back(source.weight);
    sources_.push_back({std::move(opened.file), reader,
                        WindowSampler(file.size(), sequence, share, seed, stream)});
  }
  schedule_.emplace(weights_, seed);
}

void Loader::sample(uint64_t index, std::span<int32_t> tokens, std::span<int32_t> targets,
                    std::span<int32_t> document) const {
  HECATE_CHECK(tokens.size() == static_cast<size_t>(sequence_), "loader: space for ", tokens.size(),
               " tokens, a sample has ", sequence_);
  const MixtureSchedule::Draw draw = (*schedule_)(index);
  const Source& source = sources_[draw.source];
  source.reader.fill(static_cast<int64_t>(source.sampler.first(draw.index)), tokens, targets,
                     document);
}

uint64_t Loader::samples_per_epoch() const {
  double sum = 0, samples = 0;
  for (const double weight : weights_) sum += weight;
  for (size_t i = 0; i < sources_.size(); ++i)
    samples = std::max(samples,
                       static_cast<double>(sources_[i].sampler.epoch_size()) * sum / weights_[i]);
  return static_cast<uint64_t>(std::ceil(samples));
}

void Loader::check_identity(const std::string& saved) const {
  HECATE_CHECK(saved == identity_,
               "the data is not what the checkpoint was trained on; was: ", saved,
               "; is: ", identity_);
}

Validation::Validation(const DataConfig& config, int64_t vocabulary, int64_t sequence)
    : sequence_(sequence) {
  HECATE_CHECK(sequence >= 1, "validation: sequence of ", sequence, " tokens");
  bool bytes_known = true;
  uint64_t windows = 0;
  for (OpenedSource& opened : open_validation(config)) {
    const TokenFile& file = *opened.file;
    const WindowReader reader = make_reader(config, file, vocabulary);
    const uint64_t targets = file.size() - (reader.document_end >= 0 ? 0 : 1);
    HECATE_CHECK(targets > 0, file.path().string(), ": one token leaves nothing to predict");
    windows += (targets + static_cast<uint64_t>(sequence) - 1) / static_cast<uint64_t>(sequence);
    targets_ += targets;
    if (opened.info)
      bytes_ += opened.info->validation.bytes;
    else
      bytes_known = false;
    ends_.push_back(windows);
    readers_.push_back(reader);
    files_.push_back(std::move(opened.file));
  }
  HECATE_CHECK(!files_.empty(), "nothing is held out to evaluate on: set data.validation to a ",
               "dataset directory or token file");
  if (!bytes_known) bytes_ = 0;
}

void Validation::window(uint64_t index, std::span<int32_t> tokens, std::span<int32_t> targets,
                        std::span<int32_t> document) const {
  HECATE_CHECK(index < windows(), "validation: window ", index, " of ", windows());
  HECATE_CHECK(tokens.size() == static_cast<size_t>(sequence_), "validation: space for ",
               tokens.size(), " tokens, a window has ", sequence_);
  const auto file =
      static_cast<size_t>(std::upper_bound(ends_.begin(), ends_.end(), index) - ends_.begin());
  const uint64_t local = index - (file == 0 ? 0 : ends_[file - 1]);
  const WindowReader& reader = readers_[file];
  const int64_t lead = reader.document_end >= 0 ? 1 : 0;
  reader.fill(static_cast<int64_t>(local) * sequence_ - lead, tokens, targets, document);
}

}  // namespace hecate::data
