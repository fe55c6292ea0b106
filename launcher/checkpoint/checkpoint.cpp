#include "launcher/checkpoint/checkpoint.h"

#include <algorithm>

#include "launcher/checkpoint/shard.h"
#include "runtime/base/nearest_name.h"

namespace hecate::checkpoint {
namespace {

/// One saved box that a target needs.
struct Piece {
  const TargetSlice* target;
  const TensorRecord* tensor;
  const SliceRecord* slice;
};

}  // namespace

Checkpoint::Checkpoint(const std::filesystem::path& path)
    : path_(path), manifest_(read_manifest(path)) {
  check_complete(manifest_);
}

const TensorRecord* Checkpoint::find(Kind kind, std::string_view name) const {
  const auto before = [](const TensorRecord& tensor, const std::pair<Kind, std::string_view>& key) {
    return std::pair(tensor.kind, std::string_view(tensor.name)) < key;
  };
  const auto found = std::lower_bound(manifest_.tensors.begin(), manifest_.tensors.end(),
                                      std::pair(kind, name), before);
  const bool hit = found != manifest_.tensors.end() && found->kind == kind && found->name == name;
  return hit ? &*found : nullptr;
}

const TensorRecord& Checkpoint::matching(const Slice& wanted) const {
  check_slice(wanted);
  const TensorRecord* tensor = find(wanted.kind, wanted.name);
  if (tensor == nullptr) {
    std::vector<std::string> names;
    for (const TensorRecord& other : manifest_.tensors)
      if (other.kind == wanted.kind) names.push_back(other.name);
    const std::string nearest = nearest_name(wanted.name, names);
    throw InvalidArgument(concat("checkpoint ", path_.string(), ": no ", label_of(wanted),
                                 nearest.empty() ? "" : concat("; nearest: '", nearest, "'")));
  }
  HECATE_CHECK(tensor->shape == wanted.global_shape, "checkpoint ", path_.string(), ": ",
               label_of(wanted), ": expected shape ", wanted.global_shape, ", found ",
               tensor->shape);
  HECATE_CHECK(tensor->dtype == wanted.dtype, "checkpoint ", path_.string(), ": ", label_of(wanted),
               ": expected ", name_of(wanted.dtype), ", found ", name_of(tensor->dtype));
  return *tensor;
}

void Checkpoint::load(std::span<const TargetSlice> targets) const {
  std::vector<std::vector<Piece>> by_file(manifest_.files.size());
  for (const TargetSlice& target : targets) {
    const TensorRecord& tensor = matching(target);
    HECATE_CHECK(target.data != nullptr || target.size() == 0, label_of(target),
                 ": nowhere to load it to");
    for (const SliceRecord& slice : tensor.slices)
      if (overlap_size(tensor.slice(slice), target) > 0)
        by_file[slice.file].push_back({&target, &tensor, &slice});
  }
  for (size_t file = 0; file < by_file.size(); ++file) {
    if (by_file[file].empty()) continue;
    const io::SafetensorsFile shard = open_shard(path_, manifest_, file);
    for (const Piece& piece : by_file[file])
      copy_overlap(piece.tensor->slice(*piece.slice),
                   shard_bytes(shard, *piece.tensor, *piece.slice).data(), *piece.target,
                   static_cast<std::byte*>(piece.target->data));
  }
}

}  // namespace hecate::checkpoint
