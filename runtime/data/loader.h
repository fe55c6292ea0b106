#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/data/config.h"
#include "runtime/data/dataset.h"
#include "runtime/data/sampler.h"
#include "runtime/data/token_file.h"
#include "runtime/data/window_reader.h"

/// Samples for training and windows for evaluation; what tokens, targets and documents are:
/// window_reader.h.
namespace hecate::data {

/// What is known about a training set before a model exists.
struct DataDescription {
  int64_t vocabulary = 0;                     ///< largest of the sources; 0: no source says it
  std::string tokenizer_identity;             ///< empty: no source has a tokenizer
  std::filesystem::path tokenizer_directory;  ///< for load_tokenizer(); empty: none
};

/// Reads headers and descriptions only.
/// @throws as Loader; InvalidArgument if the sources have different tokenizers.
DataDescription describe(const DataConfig& config);

/// Sample i is a function of (config, seed, sequence, i) alone; the state of a run is the index of
/// its next sample and identity().
class Loader {
 public:
  /// @param vocabulary the model's. @param sequence inputs per sample.
  /// @throws IoError for missing or unreadable files; InvalidArgument for an impossible config, a
  ///   malformed token file, one shorter than sequence + 1 tokens, or one whose vocabulary is
  ///   larger than the model's.
  Loader(const DataConfig& config, uint64_t seed, int64_t vocabulary, int64_t sequence);

  /// Every span has `sequence` elements (`document` may be empty). Threads may call it at the same
  /// time. Allocates nothing.
  /// @throws InvalidArgument naming file, position, id and vocabulary for an id out of range.
  void sample(uint64_t index, std::span<int32_t> tokens, std::span<int32_t> targets,
              std::span<int32_t> document) const;

  int64_t sequence() const { return sequence_; }
  /// Samples until every source has had at least one epoch of its sampler; a source whose weight
  /// is large beside its size has had more by then.
  uint64_t samples_per_epoch() const;

  /// Which data, order and sequence length the samples come from; equal identities give equal
  /// samples. Directories may move.
  const std::string& identity() const { return identity_; }
  /// @throws InvalidArgument naming both if a checkpoint's identity is not this loader's.
  void check_identity(const std::string& saved) const;

 private:
  struct Source {
    std::unique_ptr<TokenFile> file;
    WindowReader reader;
    WindowSampler sampler;
  };

  int64_t sequence_;
  std::vector<double> weights_;
  std::vector<Source> sources_;
  std::optional<MixtureSchedule> schedule_;
  std::string identity_;
};

/// Consecutive windows over the held-out tokens: every id is a target exactly once. The first id is
/// predicted from a document end; where the data has none, it is only an input.
class Validation {
 public:
  /// Reads data.validation, or the held-out parts of the dataset directories trained on, in order.
  /// @throws as Loader; InvalidArgument if there is nothing held out.
  Validation(const DataConfig& config, int64_t vocabulary, int64_t sequence);

  uint64_t windows() const { return ends_.back(); }
  /// Targets in all windows together (fewer with mask_documents where files have only an index).
  uint64_t targets() const { return targets_; }
  /// Text bytes behind them, the denominator of bits per byte; 0: unknown (foreign token files).
  uint64_t bytes() const { return bytes_; }
  /// As Loader::sample; the last window of a file is padded with target -1.
  /// @throws InvalidArgument for an index outside [0, windows()).
  void window(uint64_t index, std::span<int32_t> tokens, std::span<int32_t> targets,
              std::span<int32_t> document) const;

 private:
  int64_t sequence_;
  std::vector<std::unique_ptr<TokenFile>> files_;
  std::vector<WindowReader> readers_;
  std::vector<uint64_t> ends_;  ///< windows before the end of each file
  uint64_t targets_ = 0, bytes_ = 0;
};

}  // namespace hecate::data
