#include "runtime/data/byte_tokenizer.h"

#include "runtime/base/error.h"

namespace hecate::data {

void ByteTokenizer::encode(std::string_view text, std::vector<int32_t>& ids) const {
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
}

void ByteTokenizer::decode(std::span<const int32_t> ids, std::string& text) const {
  for (const int32_t id : ids) {
    HECATE_CHECK(id >= 0 && id < kVocabulary, "decode: id ", id, " is outside the vocabulary of ",
                 kVocabulary);
    if (id != document_end()) text.push_back(static_cast<char>(id));
  }
}

void ByteTokenizer::save(const std::filesystem::path& directory) const {
  save_tokenizer_description(*this, directory);
}

}  // namespace hecate::data
