#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

#include "runtime/data/tokenizer.h"

/// The SentencePiece backend. Its library is included by the one source file beside this header.
namespace hecate::data {

inline constexpr std::string_view kSentencePieceName = "sentencepiece";
/// 256 bytes, the unknown piece, the document end, and two characters.
inline constexpr int64_t kSentencePieceMinimum = 260;
inline constexpr int64_t kSentencePieceMaximum = 1 << 20;

/// Learns exactly `vocabulary` pieces from at most 32 MiB of the text, lines chosen evenly.
/// @throws InvalidArgument if the text supports only smaller or larger vocabularies (the message
///   names the bound).
std::unique_ptr<Tokenizer> train_sentencepiece(int64_t vocabulary, const TrainingText& text);

/// Reads `sentencepiece.model` in `directory`. A model made elsewhere works if it has byte
/// fallback, identity normalisation without dummy prefix, and an end-of-sentence piece.
std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& directory);

}  // namespace hecate::data
