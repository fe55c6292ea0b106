#include "launcher/checkpoint/save_job.h"

#include <chrono>
#include <cstdio>
#include <map>

#include "launcher/checkpoint/directory.h"
#include "launcher/checkpoint/shard.h"
#include "runtime/io/file.h"
#include "runtime/io/safetensors.h"

namespace hecate::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr char kFine = '+', kFailed = '-';

/// Unique within a file: a rank's boxes of one tensor do not overlap, so they differ in offset.
std::string key_of(const Slice& slice) {
  std::string key = concat(name_of(slice.kind), ":", slice.name);
  if (slice.whole()) return key;
  char separator = '@';
  for (const int64_t offset : slice.offset) {
    key += concat(separator, offset);
    separator = ',';
  }
  return key;
}

std::string file_name(int rank, size_t part, size_t parts) {
  char name[64];
  if (parts == 1)
    std::snprintf(name, sizeof name, "rank-%04d.safetensors", rank);
  else
    std::snprintf(name, sizeof name, "rank-%04d-part-%04zu.safetensors", rank, part);
  return name;
}

class SaveJob {
 public:
  SaveJob(const WriterOptions& options, const Snapshot& snapshot)
      : options_(options),
        snapshot_(snapshot),
        aside_(options.directory / concat(".tmp-", step_name(snapshot.step))) {}

  SaveReport run() {
    SaveReport report;
    report.step = snapshot_.step;
    report.path = options_.directory / step_name(snapshot_.step);
    try {
      agree([&] { return prepare(); });
      const auto parts = agree([&] { return write_part(report.bytes); });
      agree([&] { return commit(parts); });
    } catch (...) {
      discard();
      throw;
    }
    if (options_.rank == 0) report.warning = prune_old();
    return report;
  }

 private:
  /// Runs one phase and tells all ranks how it ended. @returns what each rank's phase returned.
  template <class Phase>
  std::vector<std::string> agree(const Phase& phase) {
    std::string mine;
    try {
      mine = kFine + phase();
    } catch (const std::exception& error) {
      mine = kFailed + std::string(error.what());
    }
    auto all = options_.gather ? options_.gather(mine) : std::vector<std::string>{mine};
    if (all.size() != static_cast<size_t>(options_.ranks))
      throw CommError(concat("checkpoint of step ", snapshot_.step, ": gathered ", all.size(),
                             " answers from ", options_.ranks, " ranks"));
    for (size_t rank = 0; rank < all.size(); ++rank) {
      if (all[rank].empty() || all[rank].front() != kFine)
        throw IoError(concat("checkpoint of step ", snapshot_.step, " not written: rank ", rank,
                             ": ", all[rank].substr(all[rank].empty() ? 0 : 1)));
      all[rank].erase(0, 1);
    }
    return all;
  }

  std::string prepare() {
    if (options_.rank == 0) {
      remove_tree(aside_);
      std::error_code error;
      fs::create_directories(aside_, error);
      if (error) throw io::io_error(aside_, "create directory", error.value());
    }
    return {};
  }

  /// @returns this rank's part of the manifest as text.
  std::string write_part(uint64_t& bytes) {
    Manifest part;
    part.step = snapshot_.step;
    part.tokens = snapshot_.tokens;
    part.identity = snapshot_.identity;
    if (options_.rank == 0) part.extra = snapshot_.extra;
    const auto groups = split();
    for (size_t i = 0; i < groups.size(); ++i) {
      const std::string name = file_name(options_.rank, i, groups.size());
      const io::FileDigest digest = write_file(aside_ / name, groups[i]);
      part.files.push_back({name, digest.bytes, digest.checksum});
      bytes += digest.bytes;
      for (const TensorSlice* slice : groups[i])
        part.tensors.push_back({slice->name,
                                slice->kind,
                                slice->dtype,
                                slice->global_shape,
                                {{slice->offset, slice->shape, i, key_of(*slice)}}});
    }
    return manifest_text(part);
  }

  std::vector<std::vector<const TensorSlice*>> split() const {
    std::vector<std::vector<const TensorSlice*>> groups;
    uint64_t filled = 0;
    for (const TensorSlice& slice : snapshot_.slices) {
      if (slice.size() == 0 && slice.global_shape.size() > 0) continue;  // holds nothing
      if (groups.empty() || filled + slice.bytes() > options_.max_file_bytes) {
        if (groups.empty() || !groups.back().empty()) groups.emplace_back();
        filled = 0;
      }
      filled += slice.bytes();
      groups.back().push_back(&slice);
    }
    return groups;
  }

  io::FileDigest write_file(const fs::path& path,
                            const std::vector<const TensorSlice*>& slices) const {
    std::vector<io::TensorInfo> tensors;
    std::map<std::string, const TensorSlice*, std::less<>> by_key;
    for (const TensorSlice* slice : slices) {
      tensors.push_back(io::tensor_info(key_of(*slice), slice->dtype, slice->shape));
      by_key.emplace(tensors.back().name, slice);
    }
    io::SafetensorsWriter file(path, std::move(tensors),
                               {{kMetadataFormat, std::string(kFormatName)},
                                {kMetadataStep, std::to_string(snapshot_.step)}});
    for (const io::TensorInfo& tensor : file.tensors()) {
      const TensorSlice& slice = *by_key.find(tensor.name)->second;
      const auto append = [&](std::span<const std::byte> bytes) {
        file.append(tensor.name, bytes);
      };
      if (slice.produce)
        slice.produce(append);
      else
        append({static_cast<const std::byte*>(slice.data), slice.bytes()});
    }
    return file.finish();
  }

  std::string commit(const std::vector<std::string>& texts) {
    if (options_.rank != 0) return {};
    std::vector<Manifest> parts;
    for (size_t rank = 0; rank < texts.size(); ++rank) {
      parts.push_back(parse_manifest(texts[rank], concat("part of rank ", rank)));
      HECATE_CHECK(parts.back().step == snapshot_.step, "rank ", rank, " saves step ",
                   parts.back().step, ", rank 0 step ", snapshot_.step);
    }
    const Manifest manifest = merge_parts(parts);
    check_complete(manifest);
    const std::string text = manifest_text(manifest);
    io::FileWriter file(aside_ / kManifestName, text.size());
    file.write(text);
    file.finish();
    io::sync_directory(aside_);
    publish(options_.directory, aside_, snapshot_.step);
    return {};
  }

  /// Gives the room back; another rank may still be writing, so what is left then stays for the
  /// next start.
  void discard() const noexcept {
    std::error_code ignored;
    if (options_.rank == 0) fs::remove_all(aside_, ignored);
  }

  std::string prune_old() const {
    try {
      prune(options_.directory, snapshot_.step, options_.keep);
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }

  const WriterOptions& options_;
  const Snapshot& snapshot_;
  fs::path aside_;
};

}  // namespace

SaveReport run_save(const WriterOptions& options, const Snapshot& snapshot) {
  const auto start = std::chrono::steady_clock::now();
  SaveReport report = SaveJob(options, snapshot).run();
  report.write_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace hecate::checkpoint
