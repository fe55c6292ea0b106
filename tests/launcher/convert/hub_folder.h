#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "runtime/io/hf_shards.h"

namespace hecate::launcher {

/// "mixtral", "olmoe", "qwen3": the folders tests/reference/fixtures/hf-NAME-tiny.
inline std::filesystem::path fixture_folder(const std::string& name) {
  return std::filesystem::path(HECATE_SOURCE_DIR) / "tests/reference/fixtures" /
         ("hf-" + name + "-tiny");
}

/// A tensor of a folder, in memory: what a test may change.
struct FolderTensor {
  std::string dtype;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};
using Folder = std::map<std::string, FolderTensor>;

inline Folder read_folder(const std::filesystem::path& path) {
  Folder folder;
  io::ShardedTensors tensors(path);
  for (const std::string& name : tensors.names()) {
    const std::span<const std::byte> bytes = tensors.bytes(name);
    const io::TensorInfo& info = tensors.at(name);
    folder[name] = {info.dtype, info.shape, {bytes.begin(), bytes.end()}};
  }
  return folder;
}

/// Weights and a copy of `config`, in one file.
inline void write_folder(const std::filesystem::path& path, const Folder& folder,
                         const std::filesystem::path& config) {
  std::vector<io::TensorInfo> infos;
  for (const auto& [name, tensor] : folder)
    infos.push_back({name, tensor.dtype, tensor.shape, 0, 0});
  io::write_sharded(path, infos, uint64_t{1} << 40,
                    [&](const io::TensorInfo& tensor, const io::ByteSink& sink) {
                      sink(folder.at(tensor.name).bytes);
                    });
  std::filesystem::copy_file(config, path / "config.json");
}

}  // namespace hecate::launcher
