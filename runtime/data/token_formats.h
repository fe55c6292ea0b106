#pragma once
#include <cstddef>
#include <filesystem>
#include <span>

#include "runtime/data/token_file.h"

/// The layouts that TokenFile::open can tell apart. Each function checks sizes against the header.
namespace hecate::data {

size_t size_of(TokenType type);

/// @param path the file that holds the ids, used for messages and to tell nanoGPT's .bin.
/// @throws InvalidArgument if the content is empty, truncated, too long or of no known format.
TokenLayout read_layout(const std::filesystem::path& path, std::span<const std::byte> content);

/// @param index content of the .idx file; `id_bytes` the size of the .bin file.
TokenLayout read_megatron_layout(const std::filesystem::path& index_path,
                                 std::span<const std::byte> index, uint64_t id_bytes);

/// Whether a content is that of a Megatron .idx file.
bool is_megatron_index(std::span<const std::byte> content);

}  // namespace hecate::data
