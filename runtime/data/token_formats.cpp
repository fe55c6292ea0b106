#include "runtime/data/token_formats.h"

#include <array>
#include <cstring>
#include <string_view>

#include "runtime/base/error.h"

namespace hecate::data {
namespace {

constexpr std::string_view kMegatronMagic("MMIDIDX\0\0", 9);
constexpr size_t kLlmcHeader = 256 * sizeof(int32_t);

template <class T>
T load(std::span<const std::byte> content, uint64_t offset) {
  T value;
  std::memcpy(&value, content.data() + offset, sizeof(T));
  return value;
}

bool starts_with(std::span<const std::byte> content, std::string_view magic) {
  return content.size() >= magic.size() &&
         std::memcmp(content.data(), magic.data(), magic.size()) == 0;
}

void check_size(const std::filesystem::path& path, const TokenLayout& layout, uint64_t bytes) {
  const uint64_t width = size_of(layout.type);
  const uint64_t found = bytes < layout.offset ? 0 : (bytes - layout.offset) / width;
  HECATE_CHECK(layout.count <= found, path.string(), ": truncated token file: the header says ",
               layout.count, " tokens, the file holds ", found);
  HECATE_CHECK(bytes == layout.offset + layout.count * width, path.string(), ": the header says ",
               layout.count, " tokens, but the file goes on after them (", bytes, " bytes)");
}

TokenLayout tok_layout(const std::filesystem::path& path, std::span<const std::byte> content) {
  HECATE_CHECK(content.size() >= sizeof(TokenHeader), path.string(),
               ": truncated token file: ", content.size(), " bytes are no header");
  const auto header = load<TokenHeader>(content, 0);
  HECATE_CHECK(header.version == 1, path.string(), ": token file version ", header.version,
               ", this program reads version 1");
  HECATE_CHECK(header.id_bytes == 2 || header.id_bytes == 4, path.string(), ": token ids of ",
               header.id_bytes, " bytes, expected 2 or 4");
  TokenLayout layout;
  layout.format = "tok";
  layout.type = header.id_bytes == 2 ? TokenType::u16 : TokenType::u32;
  layout.offset = sizeof(TokenHeader);
  layout.count = header.count;
  layout.vocabulary = header.vocabulary;
  layout.document_end = header.document_end;
  layout.crc32c = header.crc32c;
  return layout;
}

struct LlmcVariant {
  int32_t magic, version;
  TokenType type;
};
constexpr std::array<LlmcVariant, 2> kLlmcVariants = {LlmcVariant{20240520, 1, TokenType::u16},
                                                      LlmcVariant{20240801, 7, TokenType::u32}};

const LlmcVariant* llmc_variant(std::span<const std::byte> content) {
  if (content.size() < 2 * sizeof(int32_t)) return nullptr;
  for (const LlmcVariant& variant : kLlmcVariants)
    if (load<int32_t>(content, 0) == variant.magic && load<int32_t>(content, 4) == variant.version)
      return &variant;
  return nullptr;
}

TokenLayout llmc_layout(const std::filesystem::path& path, std::span<const std::byte> content,
                        const LlmcVariant& variant) {
  HECATE_CHECK(content.size() >= kLlmcHeader, path.string(),
               ": truncated token file: ", content.size(), " bytes are no llm.c header");
  const auto count = load<int32_t>(content, 8);
  HECATE_CHECK(count >= 0, path.string(), ": the llm.c header says ", count, " tokens");
  TokenLayout layout;
  layout.format = "llm.c";
  layout.type = variant.type;
  layout.offset = kLlmcHeader;
  layout.count = static_cast<uint64_t>(count);
  return layout;
}

TokenLayout nanogpt_layout(const std::filesystem::path& path, std::span<const std::byte> content) {
  HECATE_CHECK(content.size() % 2 == 0, path.string(),
               ": truncated token file: an odd number of bytes (", content.size(),
               ") holds no u16 ids");
  TokenLayout layout;
  layout.format = "nanogpt";
  layout.count = content.size() / 2;
  return layout;
}

TokenType megatron_type(const std::filesystem::path& path, uint8_t code) {
  switch (code) {
    case 1:
      return TokenType::u8;
    case 3:
      return TokenType::i16;
    case 4:
      return TokenType::i32;
    case 5:
      return TokenType::i64;
    case 8:
      return TokenType::u16;
    default:
      throw InvalidArgument(concat(path.string(), ": Megatron dtype code ", int{code},
                                   " is not of token ids (1, 3, 4, 5 or 8)"));
  }
}

}  // namespace

size_t size_of(TokenType type) {
  switch (type) {
    case TokenType::u8:
      return 1;
    case TokenType::i16:
    case TokenType::u16:
      return 2;
    case TokenType::i32:
    case TokenType::u32:
      return 4;
    case TokenType::i64:
      return 8;
  }
  return 0;
}

TokenLayout read_layout(const std::filesystem::path& path, std::span<const std::byte> content) {
  HECATE_CHECK(!content.empty(), path.string(), ": empty token file");
  TokenLayout layout;
  const LlmcVariant* llmc = llmc_variant(content);
  if (starts_with(content, std::string_view(TokenHeader{}.magic, 8)))
    layout = tok_layout(path, content);
  else if (llmc != nullptr)
    layout = llmc_layout(path, content, *llmc);
  else if (path.extension() == ".bin")
    layout = nanogpt_layout(path, content);
  else
    throw InvalidArgument(concat(path.string(), ": not a token file (expected .tok, llm.c or ",
                                 "nanoGPT .bin, or Megatron .bin with .idx)"));
  HECATE_CHECK(layout.count > 0, path.string(), ": empty token file");
  check_size(path, layout, content.size());
  return layout;
}

bool is_megatron_index(std::span<const std::byte> content) {
  return starts_with(content, kMegatronMagic);
}

TokenLayout read_megatron_layout(const std::filesystem::path& index_path,
                                 std::span<const std::byte> index, uint64_t id_bytes) {
  constexpr uint64_t kHeader = 34;
  const std::string name = index_path.string();
  HECATE_CHECK(index.size() >= kHeader, name, ": truncated Megatron index: ", index.size(),
               " bytes are no header");
  const auto version = load<uint64_t>(index, 9);
  HECATE_CHECK(version == 1, name, ": Megatron index version ", version, ", expected 1");
  TokenLayout layout;
  layout.format = "megatron";
  layout.type = megatron_type(index_path, load<uint8_t>(index, 17));
  const auto sequences = load<uint64_t>(index, 18), boundaries = load<uint64_t>(index, 26);
  // Bounded first, so that the sum cannot overflow.
  const bool fits = sequences <= index.size() && boundaries <= index.size() &&
                    kHeader + 12 * sequences + 8 * boundaries <= index.size();
  HECATE_CHECK(fits, name, ": truncated Megatron index: ", sequences, " sequences and ", boundaries,
               " document boundaries do not fit ", index.size(), " bytes");
  const uint64_t width = size_of(layout.type);
  const uint64_t pointers = kHeader + 4 * sequences, documents = pointers + 8 * sequences;
  std::vector<uint64_t> starts(sequences + 1);
  for (uint64_t i = 0; i < sequences; ++i) {
    const auto length = load<int32_t>(index, kHeader + 4 * i);
    const auto pointer = load<int64_t>(index, pointers + 8 * i);
    HECATE_CHECK(length >= 0 && pointer >= 0 && static_cast<uint64_t>(pointer) == starts[i] * width,
                 name, ": sequence ", i, " of ", length, " tokens at byte ", pointer,
                 " does not follow the one before (expected byte ", starts[i] * width, ")");
    starts[i + 1] = starts[i] + static_cast<uint64_t>(length);
  }
  layout.count = starts.back();
  HECATE_CHECK(layout.count > 0, name, ": empty token file");
  for (uint64_t i = 0; i + 1 < boundaries; ++i) {
    const auto sequence = load<int64_t>(index, documents + 8 * i);
    const bool ordered = sequence >= 0 && static_cast<uint64_t>(sequence) <= sequences;
    HECATE_CHECK(ordered, name, ": document ", i, " begins at sequence ", sequence, " of ",
                 sequences);
    const uint64_t start = starts[static_cast<size_t>(sequence)];
    HECATE_CHECK(layout.document_starts.empty() || start >= layout.document_starts.back(), name,
                 ": document ", i, " begins before document ", i - 1);
    layout.document_starts.push_back(start);
  }
  check_size(index_path, layout, id_bytes);
  return layout;
}

}  // namespace hecate::data
