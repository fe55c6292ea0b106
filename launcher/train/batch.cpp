#include "launcher/train/batch.h"

#include <algorithm>

namespace hecate::launcher {

Batch::Batch(int64_t sequences, int64_t sequence, bool documents, const RankSlice& slice)
    : documents_wanted_(documents), sequence_(sequence), slice_(slice) {
  resize(sequences);
  unmasked_.resize(static_cast<size_t>(sequence));
}

void Batch::resize(int64_t sequences) {
  sequences_ = sequences;
  const auto size = static_cast<size_t>(sequences * sequence_);
  tokens_.resize(size);
  targets_.resize(size);
  if (!documents_wanted_) return;
  documents_.resize(size);
  group_documents_.resize(size);
}

Batch::Row Batch::row(int64_t sequence) {
  const auto length = static_cast<size_t>(sequence_);
  const auto begin = static_cast<size_t>(sequence) * length;
  Row row{.tokens = std::span(tokens_).subspan(begin, length),
          .targets = std::span(targets_).subspan(begin, length),
          .document = {}};
  if (!documents_.empty()) row.document = std::span(documents_).subspan(begin, length);
  return row;
}

void Batch::mask(Row row, uint64_t seed, uint64_t sample, const data::MaskingConfig& masking) {
  std::ranges::copy(row.tokens, unmasked_.begin());
  data::mask_tokens(masking, seed, sample, unmasked_, row.tokens, row.targets);
}

void Batch::load(const data::Loader& loader, uint64_t first, uint64_t seed,
                 const std::optional<data::MaskingConfig>& masking) {
  for (int64_t i = 0; i < sequences_; ++i) {
    const uint64_t sample = first + slice_.position(i);
    const Row part = row(i);
    loader.sample(sample, part.tokens, part.targets, part.document);
    if (masking) mask(part, seed, sample, *masking);
  }
}

void Batch::load(const data::Validation& validation, uint64_t first, uint64_t seed,
                 const std::optional<data::MaskingConfig>& masking) {
  for (int64_t i = 0; i < sequences_; ++i) {
    const uint64_t index = first + slice_.position(i);
    const Row part = row(i);
    validation.window(std::min(index, validation.windows() - 1), part.tokens, part.targets,
                      part.document);
    if (masking) mask(part, seed, index, *masking);
    if (index >= validation.windows()) std::ranges::fill(part.targets, -1);
  }
}

int64_t Batch::valid_tokens() const {
  return std::ranges::count_if(targets_, [](int32_t target) { return target >= 0; });
}

int32_t* Batch::documents_at(int64_t sequence, int64_t group) {
  if (documents_.empty()) return nullptr;
  for (int64_t i = 0; i < group; ++i)
    for (int64_t t = 0; t < sequence_; ++t) {
      const auto index = static_cast<size_t>((sequence + i) * sequence_ + t);
      group_documents_[index] = documents_[index] + static_cast<int32_t>(i * sequence_);
    }
  return group_documents_.data() + sequence * sequence_;
}

}  // namespace hecate::launcher
