#pragma once
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include "launcher/checkpoint/checkpoint.h"
#include "launcher/checkpoint/slice.h"
#include "launcher/checkpoint/writer.h"
#include "runtime/base/rng.h"
#include "runtime/io/safetensors.h"

/// A training state whose every byte is known: what the tests save and expect back.
namespace hecate::checkpoint::testing {

struct LogicalTensor {
  std::string name;
  Kind kind = Kind::parameter;
  DType dtype = DType::f32;
  Shape shape;

  Slice whole() const { return whole_slice(name, kind, dtype, shape); }
};

using Bytes = std::vector<std::byte>;

/// All bytes of the tensor after `step` steps: every bit pattern, NaN included.
inline Bytes content_of(const LogicalTensor& tensor, int64_t step) {
  const CounterRng rng(static_cast<uint64_t>(step),
                       stream_of(concat(name_of(tensor.kind), tensor.name).c_str()));
  Bytes bytes(tensor.whole().bytes());
  for (size_t i = 0; i < bytes.size(); i += 8) {
    const uint64_t word = rng.bits(i);
    for (size_t j = i; j < std::min(i + 8, bytes.size()); ++j)
      bytes[j] = static_cast<std::byte>(word >> (8 * (j - i)));
  }
  return bytes;
}

/// Element by element, so that it shares no arithmetic with the code under test.
inline Bytes cut(const Bytes& whole, const Slice& slice) {
  const size_t element = size_of(slice.dtype);
  Bytes out;
  std::vector<int64_t> at(static_cast<size_t>(slice.shape.rank()), 0);
  for (int64_t n = 0; n < slice.size(); ++n) {
    int64_t position = 0;
    for (size_t axis = 0; axis < at.size(); ++axis)
      position =
          position * slice.global_shape[static_cast<int>(axis)] + slice.offset[axis] + at[axis];
    const auto begin = whole.begin() + position * static_cast<int64_t>(element);
    out.insert(out.end(), begin, begin + static_cast<int64_t>(element));
    for (size_t axis = at.size(); axis-- > 0;) {
      if (++at[axis] < slice.shape[static_cast<int>(axis)]) break;
      at[axis] = 0;
    }
  }
  return out;
}

/// Slices with the memory they point to.
struct OwnedSlices {
  std::vector<TensorSlice> slices;
  std::vector<Bytes> data;

  void add(const Slice& slice, Bytes bytes) {
    data.push_back(std::move(bytes));
    slices.push_back({slice, data.back().data()});  // a moved vector keeps its memory
  }
};

inline OwnedSlices whole_state(const std::vector<LogicalTensor>& tensors, int64_t step) {
  OwnedSlices state;
  for (const LogicalTensor& tensor : tensors) state.add(tensor.whole(), content_of(tensor, step));
  return state;
}

/// Random boxes that tile the tensor.
inline std::vector<Slice> random_tiling(const LogicalTensor& tensor, const CounterRng& rng,
                                        uint64_t& draw) {
  std::vector<Slice> boxes{tensor.whole()};
  const uint64_t cuts = rng.below(draw++, 6);
  for (uint64_t cut = 0; cut < cuts && tensor.shape.rank() > 0; ++cut) {
    const size_t victim = rng.below(draw++, boxes.size());
    const auto axis =
        static_cast<size_t>(rng.below(draw++, static_cast<uint64_t>(tensor.shape.rank())));
    Slice left = boxes[victim];
    std::vector<int64_t> dims;
    for (int a = 0; a < left.shape.rank(); ++a) dims.push_back(left.shape[a]);
    const auto first =
        static_cast<int64_t>(rng.below(draw++, static_cast<uint64_t>(dims[axis]) + 1));
    Slice right = left;
    right.offset[axis] += first;
    dims[axis] -= first;
    right.shape = io::make_shape(dims);
    dims[axis] = first;
    left.shape = io::make_shape(dims);
    boxes[victim] = left;
    boxes.push_back(right);
  }
  return boxes;
}

/// Threads as ranks.
class ThreadGather {
 public:
  explicit ThreadGather(int ranks) : texts_(static_cast<size_t>(ranks)) {}

  Gather of(int rank) {
    return [this, rank](const std::string& mine) {
      std::unique_lock lock(mutex_);
      texts_[static_cast<size_t>(rank)] = mine;
      const int64_t round = round_;
      if (++arrived_ == texts_.size()) {
        arrived_ = 0;
        gathered_ = texts_;
        ++round_;
        changed_.notify_all();
      }
      changed_.wait(lock, [&] { return round_ != round; });
      return gathered_;  // the next round needs this rank too, so it cannot have begun to end
    };
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> texts_, gathered_;
  size_t arrived_ = 0;
  int64_t round_ = 0;
};

inline Snapshot snapshot_of(const OwnedSlices& state, int64_t step) {
  Snapshot snapshot;
  snapshot.step = step;
  snapshot.tokens = 2048 * step;
  snapshot.identity = "config-1";
  snapshot.slices = state.slices;
  return snapshot;
}

/// Saves one checkpoint from one rank and waits for it. @returns its path.
inline std::filesystem::path save_now(const std::filesystem::path& directory,
                                      const std::vector<LogicalTensor>& tensors, int64_t step,
                                      int64_t keep = 3) {
  WriterOptions options;
  options.directory = directory;
  options.keep = keep;
  CheckpointWriter writer(options);
  const OwnedSlices state = whole_state(tensors, step);
  writer.save(snapshot_of(state, step));
  return writer.wait().at(0).path;
}

/// The whole tensor as the checkpoint gives it.
inline Bytes load_whole(const Checkpoint& checkpoint, const LogicalTensor& tensor) {
  Bytes bytes(tensor.whole().bytes());
  const TargetSlice target{tensor.whole(), bytes.data()};
  checkpoint.load({&target, 1});
  return bytes;
}

inline std::vector<LogicalTensor> small_model() {
  return {{"embed.weight", Kind::parameter, DType::f32, {16, 8}},
          {"layers.0.wq", Kind::parameter, DType::f32, {8, 8}},
          {"layers.0.wq", Kind::first_moment, DType::f32, {8, 8}},
          {"layers.0.wq", Kind::second_moment, DType::f32, {8, 8}},
          {"layers.0.norm", Kind::master, DType::f64, {8}}};
}

}  // namespace hecate::checkpoint::testing
