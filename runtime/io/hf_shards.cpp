#include "runtime/io/hf_shards.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/base/nearest_name.h"

namespace hecate::io {
namespace {

using nlohmann::json;

constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

bool plain_file_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

std::string shard_name(size_t index, size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
  return name;
}

/// Sizes without file order: a one-tensor header knows the bytes.
uint64_t bytes_of(const TensorInfo& tensor) {
  std::vector<TensorInfo> alone{tensor};
  build_header(alone, {});
  return alone.front().bytes();
}

std::vector<std::vector<TensorInfo>> split(std::vector<TensorInfo> tensors,
                                           uint64_t max_shard_bytes) {
  std::vector<std::vector<TensorInfo>> shards(1);
  uint64_t filled = 0;
  for (TensorInfo& tensor : tensors) {
    const uint64_t bytes = bytes_of(tensor);
    if (!shards.back().empty() && (bytes > max_shard_bytes || filled > max_shard_bytes - bytes)) {
      shards.emplace_back();
      filled = 0;
    }
    filled += bytes;
    shards.back().push_back(std::move(tensor));
  }
  return shards;
}

bool is_file(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

/// Creates the directory if needed; older weights in it would be read instead of, or mixed with,
/// the new ones.
void prepare_directory(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw io_error(directory, "create directory", error.value());
  std::filesystem::directory_iterator entry(directory, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const bool weights = name == kIndex ||
                         (name.starts_with("model") && entry->path().extension() == ".safetensors");
    HECATE_CHECK(!weights, directory.string(), ": already holds weights (", name, ")");
  }
  if (error) throw io_error(directory, "list", error.value());
}

void write_shard(const std::filesystem::path& path, const std::vector<TensorInfo>& tensors,
                 const TensorSource& source, const Metadata& metadata) {
  SafetensorsWriter writer(path, tensors, metadata);
  for (const TensorInfo& tensor : writer.tensors())
    source(tensor, [&](std::span<const std::byte> bytes) { writer.append(tensor.name, bytes); });
  writer.finish();
}

}  // namespace

ShardedTensors::ShardedTensors(const std::filesystem::path& directory) : directory_(directory) {
  const auto single = directory / kSingle;
  if (is_file(single)) {  // transformers prefers it too
    auto file = std::make_unique<SafetensorsFile>(single);
    for (const TensorInfo& tensor : file->tensors()) file_of_.emplace(tensor.name, kSingle);
    open_.emplace(kSingle, std::move(file));
  } else if (is_file(directory / kIndex)) {
    read_index(directory / kIndex);
  } else {
    throw IoError(concat(directory.string(), ": neither ", kSingle, " nor ", kIndex));
  }
  for (const auto& [name, file] : file_of_) names_.push_back(name);
}

void ShardedTensors::read_index(const std::filesystem::path& path) {
  const json root = json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  HECATE_CHECK(root.is_object(), path.string(), ": not a JSON object");
  const auto map = root.find("weight_map");
  HECATE_CHECK(map != root.end() && map->is_object(), path.string(), ": no weight_map");
  for (const auto& [name, file] : map->items()) {
    HECATE_CHECK(file.is_string() && plain_file_name(file.get<std::string>()), path.string(),
                 ": weight_map of '", name, "' is not the name of a file beside it");
    file_of_.emplace(name, file.get<std::string>());
  }
}

const SafetensorsFile& ShardedTensors::file_of(std::string_view name) {
  const auto found = file_of_.find(name);
  if (found == file_of_.end()) {
    const std::string nearest = nearest_name(name, names_);
    throw InvalidArgument(concat(directory_.string(), ": no tensor '", name, "'",
                                 nearest.empty() ? "" : concat("; nearest: '", nearest, "'")));
  }
  auto& file = open_[found->second];
  if (!file) file = std::make_unique<SafetensorsFile>(directory_ / found->second);
  HECATE_CHECK(file->find(name) != nullptr, file->path().string(), ": lacks tensor '", name,
               "', which the index promises");
  return *file;
}

std::vector<std::string> write_sharded(const std::filesystem::path& directory,
                                       std::vector<TensorInfo> tensors, uint64_t max_shard_bytes,
                                       const TensorSource& source, const Metadata& metadata) {
  prepare_directory(directory);
  std::vector<TensorInfo> all = tensors;
  build_header(all, metadata);  // refuses what a single file would, repeated names included
  const uint64_t total = all.empty() ? 0 : all.back().end;
  const auto shards = split(std::move(tensors), max_shard_bytes);
  std::vector<std::string> files;
  if (shards.size() == 1) {
    files.emplace_back(kSingle);
    write_shard(directory / kSingle, shards.front(), source, metadata);
  } else {
    json index = {{"metadata", {{"total_size", total}}}, {"weight_map", json::object()}};
    for (size_t i = 0; i < shards.size(); ++i) {
      files.push_back(shard_name(i, shards.size()));
      write_shard(directory / files.back(), shards[i], source, metadata);
      for (const TensorInfo& tensor : shards[i]) index["weight_map"][tensor.name] = files.back();
    }
    write_file(directory / kIndex, index.dump(2) + "\n");
  }
  sync_directory(directory);
  return files;
}

}  // namespace hecate::io
