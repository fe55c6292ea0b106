#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/data/tokenizer.h"

namespace hecate::data {

/// The name of the description in a tokenizer's directory.
inline constexpr std::string_view kTokenizerFile = "tokenizer.json";

/// Writes kTokenizerFile: name, vocabulary, document end and identity.
void save_tokenizer_description(const Tokenizer& tokenizer, const std::filesystem::path& directory);

/// Id b is the byte b, id 256 the document end.
class ByteTokenizer : public Tokenizer {
 public:
  static constexpr std::string_view kName = "byte";
  static constexpr int64_t kVocabulary = 257;

  using Tokenizer::decode;
  using Tokenizer::encode;
  std::string_view name() const override { return kName; }
  int64_t vocabulary() const override { return kVocabulary; }
  int32_t document_end() const override { return 256; }
  std::string identity() const override { return "byte"; }
  void encode(std::string_view text, std::vector<int32_t>& ids) const override;
  void decode(std::span<const int32_t> ids, std::string& text) const override;
  void save(const std::filesystem::path& directory) const override;
};

}  // namespace hecate::data
