#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/data/loader.h"
#include "runtime/data/masking.h"

namespace hecate::launcher {

/// Which sequences of a step a rank works on: micro-batch m of all ranks together is `ranks` *
/// micro_batch consecutive ones, ranks take theirs in order. So what one rank would see before a
/// token, every number of ranks has seen before it.
struct RankSlice {
  int64_t rank = 0, ranks = 1, micro_batch = 1;
  /// Position in the step's global batch of this rank's sequence `i`.
  uint64_t position(int64_t i) const {
    return static_cast<uint64_t>((i / micro_batch * ranks + rank) * micro_batch + i % micro_batch);
  }
};

/// The sequences of one step on one rank, in one array each; reused from step to step.
class Batch {
 public:
  /// @param documents keep where each token's document begins.
  Batch(int64_t sequences, int64_t sequence, bool documents, const RankSlice& slice);

  /// Fills sequence i with sample `first + slice.position(i)` of the loader. @param masking for
  /// masked language models: inputs are masked and only masked tokens are targets.
  void load(const data::Loader& loader, uint64_t first, uint64_t seed,
            const std::optional<data::MaskingConfig>& masking);
  /// Fills sequence i with window `first + slice.position(i)`; sequences past the end get no
  /// targets.
  void load(const data::Validation& validation, uint64_t first, uint64_t seed,
            const std::optional<data::MaskingConfig>& masking);

  /// Another number of sequences, whose content is unspecified. Up to the largest so far nothing is
  /// allocated.
  void resize(int64_t sequences);

  int64_t sequences() const { return sequences_; }
  int64_t sequence() const { return sequence_; }
  int64_t tokens() const { return sequences_ * sequence_; }
  /// Targets that count.
  int64_t valid_tokens() const;
  int32_t* tokens_at(int64_t sequence) { return tokens_.data() + sequence * sequence_; }
  int32_t* targets_at(int64_t sequence) { return targets_.data() + sequence * sequence_; }
  /// Document starts counted from the first token of sequence `sequence`'s group of
  /// `group` sequences: what attention over that group wants.
  int32_t* documents_at(int64_t sequence, int64_t group);

 private:
  struct Row {
    std::span<int32_t> tokens, targets, document;
  };
  Row row(int64_t sequence);
  void mask(Row row, uint64_t seed, uint64_t sample, const data::MaskingConfig& masking);

  bool documents_wanted_;
  int64_t sequences_ = 0, sequence_;
  RankSlice slice_;
  std::vector<int32_t> tokens_, targets_, documents_, group_documents_, unmasked_;
};

}  // namespace hecate::launcher
