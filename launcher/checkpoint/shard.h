#pragma once
#include <filesystem>

#include "launcher/checkpoint/manifest.h"
#include "runtime/io/safetensors.h"

/// One file of a checkpoint, as the manifest describes it.
namespace hecate::checkpoint {

inline constexpr const char* kMetadataFormat = "format";
inline constexpr const char* kMetadataStep = "step";

/// Maps the file and checks its header, size and step; not its checksum.
/// @throws IoError naming a file that is missing or unreadable, InvalidArgument naming one that is
///   truncated, altered or of another step.
io::SafetensorsFile open_shard(const std::filesystem::path& checkpoint, const Manifest& manifest,
                               size_t file);

/// The bytes of one box.
/// @throws InvalidArgument if the file does not hold it with that dtype and shape.
std::span<const std::byte> shard_bytes(const io::SafetensorsFile& file, const TensorRecord& tensor,
                                       const SliceRecord& slice);

Manifest read_manifest(const std::filesystem::path& checkpoint);

}  // namespace hecate::checkpoint
