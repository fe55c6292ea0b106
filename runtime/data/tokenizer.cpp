#include "runtime/data/tokenizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"
#include "runtime/data/byte_tokenizer.h"
#include "runtime/data/sentencepiece/sentencepiece_tokenizer.h"
#include "runtime/io/file.h"

namespace hecate::data {
namespace {

constexpr int64_t kDefaultVocabulary = 2048;

void check_name(const std::string& name) {
  const std::vector<std::string> known = tokenizer_names();
  if (std::find(known.begin(), known.end(), name) != known.end()) return;
  const std::string nearest = nearest_name(name, known);
  std::string list;
  for (const std::string& entry : known) list += (list.empty() ? "" : ", ") + entry;
  throw InvalidArgument(concat("unknown tokenizer '", name, "'",
                               nearest.empty() ? "" : "; did you mean '" + nearest + "'?",
                               " (known: ", list, ")"));
}

}  // namespace

std::vector<int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids;
  encode(text, ids);
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  decode(ids, text);
  return text;
}

std::vector<std::string> tokenizer_names() {
  return {std::string(ByteTokenizer::kName), std::string(kSentencePieceName)};
}

void check_tokenizer_options(const TokenizerOptions& options) {
  check_name(options.name);
  if (options.vocabulary == 0) return;
  if (options.name == ByteTokenizer::kName) {
    HECATE_CHECK(options.vocabulary == ByteTokenizer::kVocabulary, "tokenizer 'byte' has exactly ",
                 ByteTokenizer::kVocabulary, " ids, got vocabulary ", options.vocabulary);
  } else {
    HECATE_CHECK(
        options.vocabulary >= kSentencePieceMinimum && options.vocabulary <= kSentencePieceMaximum,
        "tokenizer 'sentencepiece': vocabulary ", options.vocabulary, " is outside [",
        kSentencePieceMinimum, ", ", kSentencePieceMaximum, "]");
  }
}

std::unique_ptr<Tokenizer> train_tokenizer(const TokenizerOptions& options,
                                           const TrainingText& text) {
  check_tokenizer_options(options);
  if (options.name == ByteTokenizer::kName) return std::make_unique<ByteTokenizer>();
  return train_sentencepiece(options.vocabulary > 0 ? options.vocabulary : kDefaultVocabulary,
                             text);
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / kTokenizerFile;
  std::string name;
  try {
    name = nlohmann::json::parse(io::read_file(path)).at("tokenizer").get<std::string>();
  } catch (const nlohmann::json::exception& error) {
    throw InvalidArgument(concat(path.string(), ": not a tokenizer description: ", error.what()));
  }
  check_name(name);
  if (name == ByteTokenizer::kName) return std::make_unique<ByteTokenizer>();
  return load_sentencepiece(directory);
}

void save_tokenizer_description(const Tokenizer& tokenizer,
                                const std::filesystem::path& directory) {
  const nlohmann::ordered_json description = {{"tokenizer", std::string(tokenizer.name())},
                                              {"vocabulary", tokenizer.vocabulary()},
                                              {"document_end", tokenizer.document_end()},
                                              {"identity", tokenizer.identity()}};
  io::write_file(directory / kTokenizerFile, description.dump(2) + "\n");
}

}  // namespace hecate::data
