#include "launcher/checkpoint/directory.h"
#include "launcher/checkpoint/shard.h"
#include "runtime/io/file.h"

namespace hecate::checkpoint {
namespace {

void verify_file(const std::filesystem::path& checkpoint, const Manifest& manifest, size_t index) {
  const FileRecord& record = manifest.files[index];
  const auto path = checkpoint / record.name;
  // Header first: a file of another step should be called that, not altered.
  const io::SafetensorsFile file = open_shard(checkpoint, manifest, index);
  const io::FileDigest digest = io::digest_file(path);
  HECATE_CHECK(digest.checksum == record.checksum, path.string(),
               ": altered: its checksum does not match the manifest");
  for (const TensorRecord& tensor : manifest.tensors)
    for (const SliceRecord& slice : tensor.slices)
      if (slice.file == index) shard_bytes(file, tensor, slice);
}

}  // namespace

Manifest read_manifest(const std::filesystem::path& checkpoint) {
  const auto path = checkpoint / kManifestName;
  return parse_manifest(io::read_file(path), path.string());
}

io::SafetensorsFile open_shard(const std::filesystem::path& checkpoint, const Manifest& manifest,
                               size_t file) {
  const FileRecord& record = manifest.files[file];
  const auto path = checkpoint / record.name;
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(path, error);
  if (error) throw io::io_error(path, "missing or unreadable", error.value());
  io::SafetensorsFile shard(path);
  const auto step = shard.metadata().find(kMetadataStep);
  HECATE_CHECK(step != shard.metadata().end(), path.string(), ": not a file of a checkpoint");
  HECATE_CHECK(step->second == std::to_string(manifest.step), path.string(), ": of step ",
               step->second, ", but the manifest is of step ", manifest.step,
               ": files of different checkpoints are mixed");
  HECATE_CHECK(bytes == record.bytes, path.string(), ": truncated or altered: ", bytes,
               " bytes, expected ", record.bytes);
  return shard;
}

std::span<const std::byte> shard_bytes(const io::SafetensorsFile& file, const TensorRecord& tensor,
                                       const SliceRecord& slice) {
  const io::TensorInfo& found = file.at(slice.key);
  HECATE_CHECK(io::native_dtype(found) == tensor.dtype && io::native_shape(found) == slice.shape,
               file.path().string(), ": '", slice.key, "': expected ", name_of(tensor.dtype),
               slice.shape, ", found ", found.dtype, io::native_shape(found));
  return file.bytes(found);
}

std::vector<std::string> verify(const std::filesystem::path& checkpoint) {
  std::vector<std::string> problems;
  const auto guarded = [&](const auto& check) {
    try {
      check();
    } catch (const Error& error) {
      problems.emplace_back(error.what());
    }
  };
  Manifest manifest;
  guarded([&] {
    manifest = read_manifest(checkpoint);
    check_complete(manifest);
  });
  for (size_t file = 0; file < manifest.files.size(); ++file)
    guarded([&] { verify_file(checkpoint, manifest, file); });
  return problems;
}

}  // namespace hecate::checkpoint
