#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Text to token ids and back, without loss: decode(encode(bytes)) is `bytes` for any bytes,
/// newlines, runs of spaces and invalid UTF-8 included.
namespace hecate::data {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// One of tokenizer_names().
  virtual std::string_view name() const = 0;
  /// Ids are in [0, vocabulary()).
  virtual int64_t vocabulary() const = 0;
  /// Closes a document; no text encodes to it and it decodes to nothing.
  virtual int32_t document_end() const = 0;
  /// Equal for tokenizers that encode equally; datasets of one mixture must share it.
  virtual std::string identity() const = 0;

  /// Appends the ids of `text`. Cutting a text after any newline and encoding the parts gives the
  /// ids of the whole. Threads may encode and decode at the same time.
  virtual void encode(std::string_view text, std::vector<int32_t>& ids) const = 0;
  /// Appends the bytes of `ids`. @throws InvalidArgument for an id outside the vocabulary.
  virtual void decode(std::span<const int32_t> ids, std::string& text) const = 0;

  /// Writes what load_tokenizer reads (`tokenizer.json` and the files it names), fsynced.
  /// @throws IoError
  virtual void save(const std::filesystem::path& directory) const = 0;

  std::vector<int32_t> encode(std::string_view text) const;
  std::string decode(std::span<const int32_t> ids) const;
};

struct TokenizerOptions {
  std::string name = "sentencepiece";
  /// Ids, the document end included; 0: 257 for `byte` (which has no other), 2048 otherwise.
  int64_t vocabulary = 0;
};

using TextSink = std::function<void(std::string_view)>;

/// Text to learn from: `feed` calls its argument with the pieces of the text in order, each cut at
/// a line end or, in long lines, at a character; `bytes` is their total size.
struct TrainingText {
  uint64_t bytes = 0;
  std::function<void(const TextSink&)> feed;
};

/// byte: one id per byte, then the document end.
/// sentencepiece: unigram pieces learned from the text, bytes as fallback (Kudo 2018,
///   arXiv:1804.10959). The same text, options and library give the same model.
std::vector<std::string> tokenizer_names();

/// @throws InvalidArgument for an unknown name (with the nearest and all known ones), a vocabulary
///   that the tokenizer or the text cannot have, and empty text.
std::unique_ptr<Tokenizer> train_tokenizer(const TokenizerOptions& options,
                                           const TrainingText& text);
/// Only the checks of the options that need no text.
void check_tokenizer_options(const TokenizerOptions& options);

/// @throws IoError if a file is missing or unreadable, InvalidArgument if its content is wrong.
std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory);

}  // namespace hecate::data
