#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tensor/dtype.h"
#include "runtime/tensor/tensor_view.h"

/// Checkpoints speak of logical tensors and boxes cut from them; who holds a box, and why, is not
/// their business.
namespace hecate::checkpoint {

enum class Kind : uint8_t { parameter, master, first_moment, second_moment };
/// "parameter", "master", "first_moment", "second_moment".
std::string_view name_of(Kind kind);
std::optional<Kind> parse_kind(std::string_view name);

/// A box of a logical tensor: along axis a, elements [offset[a], offset[a] + shape[a]) of
/// global_shape[a]. In memory and in files a box is contiguous and row-major.
struct Slice {
  std::string name;
  Kind kind = Kind::parameter;
  DType dtype = DType::f32;
  Shape global_shape;
  std::vector<int64_t> offset;  ///< one per axis
  Shape shape;

  int64_t size() const { return shape.size(); }
  size_t bytes() const { return static_cast<size_t>(size()) * size_of(dtype); }
  bool whole() const { return shape == global_shape; }
};

/// A box to be saved. `data` holds bytes() and is only read.
struct TensorSlice : Slice {
  const void* data = nullptr;
  /// In place of `data`, for saves without a copy: called when the box is written, hands its bytes
  /// over in order, in any number of pieces.
  std::function<void(const std::function<void(std::span<const std::byte>)>&)> produce = {};
};

/// A box to be loaded; `data` has room for bytes().
struct TargetSlice : Slice {
  void* data = nullptr;
};

/// The box that is the whole tensor.
Slice whole_slice(std::string name, Kind kind, DType dtype, const Shape& shape);

/// Cuts elements [begin, end) of the row-major tensor into boxes, in memory order: what an owner
/// of a range of a flat array holds. At most 2 * rank - 1 boxes; none if the range is empty.
std::vector<Slice> range_slices(const std::string& name, Kind kind, DType dtype, const Shape& shape,
                                int64_t begin, int64_t end);

/// @throws InvalidArgument naming the tensor if the box does not lie in its tensor.
void check_slice(const Slice& slice);

/// "parameter 'layers.0.wq'".
std::string label_of(const Slice& slice);

/// Elements that two boxes of one tensor share.
int64_t overlap_size(const Slice& a, const Slice& b);

/// Copies the elements that two boxes of one tensor share; both valid, of one dtype.
/// @returns how many there were.
int64_t copy_overlap(const Slice& from, const std::byte* source, const Slice& to,
                     std::byte* target);

}  // namespace hecate::checkpoint
