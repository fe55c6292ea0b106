#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/io/safetensors.h"

/// Hugging Face's layout of model weights: `model.safetensors`, or several
/// `model-00001-of-00003.safetensors` and `model.safetensors.index.json` with
/// {"metadata": {"total_size": bytes}, "weight_map": {tensor: file}}.
namespace hecate::io {

/// The tensors of such a directory, memory-mapped; a shard is opened when first needed. Not safe
/// to use from several threads at once.
class ShardedTensors {
 public:
  /// @throws IoError if there is neither file; InvalidArgument if the index is malformed or names
  ///   a file outside the directory.
  explicit ShardedTensors(const std::filesystem::path& directory);

  /// Sorted.
  const std::vector<std::string>& names() const { return names_; }
  bool contains(std::string_view name) const { return file_of_.find(name) != file_of_.end(); }
  /// The file that holds the tensor, open.
  /// @throws InvalidArgument for an unknown name (with the nearest) or a shard that lacks what the
  ///   index promises; IoError naming a shard that is missing.
  const SafetensorsFile& file_of(std::string_view name);
  const TensorInfo& at(std::string_view name) { return file_of(name).at(name); }
  std::span<const std::byte> bytes(std::string_view name) {
    const SafetensorsFile& file = file_of(name);
    return file.bytes(file.at(name));
  }

 private:
  void read_index(const std::filesystem::path& path);

  std::filesystem::path directory_;
  std::vector<std::string> names_;
  std::map<std::string, std::string, std::less<>> file_of_;
  std::map<std::string, std::unique_ptr<SafetensorsFile>> open_;
};

using ByteSink = std::function<void(std::span<const std::byte>)>;
/// Hands the bytes of one tensor to the sink, in order, in any number of pieces.
using TensorSource = std::function<void(const TensorInfo&, const ByteSink&)>;

/// Writes the layout. Tensors go to shards in the given order, each shard filled up to
/// `max_shard_bytes` of data (a larger tensor gets its own); one shard alone is
/// `model.safetensors` without an index. The index is written last. Creates the directory.
/// @param source called once per tensor, shard by shard.
/// @param metadata of every shard; transformers wants {"format": "pt"}.
/// @returns the names of the files written.
/// @throws InvalidArgument if the directory already holds such weights or a name is used twice.
std::vector<std::string> write_sharded(const std::filesystem::path& directory,
                                       std::vector<TensorInfo> tensors, uint64_t max_shard_bytes,
                                       const TensorSource& source,
                                       const Metadata& metadata = {{"format", "pt"}});

}  // namespace hecate::io
