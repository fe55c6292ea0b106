#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/checkpoint/slice.h"

/// manifest.json: what a checkpoint holds and where. Its last member is the CRC-32C of all the
/// text before it, so that an altered manifest is found out like an altered file.
namespace hecate::checkpoint {

/// The only format version that this program reads and writes.
inline constexpr int64_t kFormatVersion = 1;
inline constexpr std::string_view kManifestName = "manifest.json";
/// "format" in the manifest and in every file's metadata.
inline constexpr std::string_view kFormatName = "hecate-checkpoint";

struct FileRecord {
  std::string name;  ///< within the checkpoint's directory
  uint64_t bytes = 0;
  uint32_t checksum = 0;  ///< CRC-32C of the whole file
};

struct SliceRecord {
  std::vector<int64_t> offset;
  Shape shape;
  size_t file = 0;  ///< index into Manifest::files
  std::string key;  ///< the tensor's name in that file
};

/// One logical tensor and the boxes that tile it.
struct TensorRecord {
  std::string name;
  Kind kind = Kind::parameter;
  DType dtype = DType::f32;
  Shape shape;
  std::vector<SliceRecord> slices;

  Slice slice(const SliceRecord& record) const {
    return {name, kind, dtype, shape, record.offset, record.shape};
  }
};

struct Manifest {
  int64_t step = 0;      ///< optimizer steps done
  int64_t tokens = 0;    ///< tokens trained on
  std::string identity;  ///< of the configuration; compared by the caller
  std::vector<FileRecord> files;
  std::vector<TensorRecord> tensors;  ///< by kind, then name
  std::string extra = "{}";           ///< a JSON object of the caller's
};

std::string manifest_text(const Manifest& manifest);
/// @param label names the file in messages.
/// @throws InvalidArgument for anything but a manifest of this version with a right checksum.
Manifest parse_manifest(std::string_view text, std::string_view label);

/// Joins what each rank wrote; scalars and `extra` are those of the first part.
/// @throws InvalidArgument if two parts disagree on a tensor's dtype or shape.
Manifest merge_parts(std::span<const Manifest> parts);

/// @throws InvalidArgument naming the tensor unless its boxes tile it: every element once.
void check_complete(const Manifest& manifest);

/// @throws InvalidArgument unless the text is a JSON object.
void check_extra(std::string_view text);

}  // namespace hecate::checkpoint
