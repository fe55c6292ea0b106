#include "launcher/checkpoint/slice.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/io/safetensors.h"

namespace hecate::checkpoint {
namespace {

constexpr std::array kKinds{Kind::parameter, Kind::master, Kind::first_moment, Kind::second_moment};
using Index = std::array<int64_t, Shape::kMaxRank>;

/// The common box in global coordinates, padded to four axes in front so that one loop nest serves
/// every rank.
struct Overlap {
  Index begin{}, extent{};
  int64_t size = 1;
};

/// Offset, extent and strides of a box on four axes.
struct Padded {
  Index offset{}, extent{}, stride{};

  explicit Padded(const Slice& slice) {
    extent.fill(1);
    const int pad = Shape::kMaxRank - slice.shape.rank();
    for (int axis = 0; axis < slice.shape.rank(); ++axis) {
      const auto at = static_cast<size_t>(axis + pad);
      offset[at] = slice.offset[static_cast<size_t>(axis)];
      extent[at] = slice.shape[axis];
    }
    int64_t elements = 1;
    for (size_t axis = extent.size(); axis-- > 0; elements *= extent[axis]) stride[axis] = elements;
  }
  int64_t position(const Index& global) const {
    int64_t at = 0;
    for (size_t axis = 0; axis < global.size(); ++axis)
      at += (global[axis] - offset[axis]) * stride[axis];
    return at;
  }
};

Overlap intersect(const Padded& a, const Padded& b) {
  Overlap common;
  for (size_t axis = 0; axis < common.begin.size(); ++axis) {
    common.begin[axis] = std::max(a.offset[axis], b.offset[axis]);
    const int64_t end = std::min(a.offset[axis] + a.extent[axis], b.offset[axis] + b.extent[axis]);
    common.extent[axis] = std::max<int64_t>(0, end - common.begin[axis]);
    common.size *= common.extent[axis];
  }
  return common;
}

/// Appends the boxes of [begin, end) within the sub-tensor of `axis` and deeper, whose outer
/// indices are in `prefix`.
void cut_range(const Slice& whole, std::vector<int64_t> prefix, int64_t begin, int64_t end,
               std::vector<Slice>& out) {
  const int axis = static_cast<int>(prefix.size());
  const int rank = whole.global_shape.rank();
  int64_t row = 1;
  for (int inner = axis + 1; inner < rank; ++inner) row *= whole.global_shape[inner];
  const auto emit_rows = [&](int64_t first, int64_t count) {
    std::vector<int64_t> dims(prefix.size(), 1);
    Slice box = whole;
    box.offset = prefix;
    if (axis < rank) {
      box.offset.push_back(first);
      dims.push_back(count);
    }
    for (int inner = axis + 1; inner < rank; ++inner) {
      box.offset.push_back(0);
      dims.push_back(whole.global_shape[inner]);
    }
    box.shape = io::make_shape(dims);
    out.push_back(std::move(box));
  };
  const auto cut_inside = [&](int64_t index, int64_t from, int64_t to) {
    auto deeper = prefix;
    deeper.push_back(index);
    cut_range(whole, std::move(deeper), from, to, out);
  };
  if (begin % row != 0) {
    const int64_t index = begin / row, stop = std::min(end, (index + 1) * row);
    cut_inside(index, begin - index * row, stop - index * row);
    begin = stop;
  }
  if (end - begin >= row) emit_rows(begin / row, (end - begin) / row);
  begin += (end - begin) / row * row;
  if (begin < end) cut_inside(begin / row, 0, end - begin);
}

}  // namespace

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::parameter:
      return "parameter";
    case Kind::master:
      return "master";
    case Kind::first_moment:
      return "first_moment";
    case Kind::second_moment:
      return "second_moment";
  }
  return "?";
}

std::optional<Kind> parse_kind(std::string_view name) {
  for (const Kind kind : kKinds)
    if (name_of(kind) == name) return kind;
  return std::nullopt;
}

Slice whole_slice(std::string name, Kind kind, DType dtype, const Shape& shape) {
  return {std::move(name),
          kind,
          dtype,
          shape,
          std::vector<int64_t>(static_cast<size_t>(shape.rank()), 0),
          shape};
}

std::vector<Slice> range_slices(const std::string& name, Kind kind, DType dtype, const Shape& shape,
                                int64_t begin, int64_t end) {
  HECATE_CHECK(0 <= begin && begin <= end && end <= shape.size(), "range_slices: [", begin, ",",
               end, ") of '", name, "' ", shape);
  std::vector<Slice> boxes;
  if (begin < end) cut_range(whole_slice(name, kind, dtype, shape), {}, begin, end, boxes);
  return boxes;
}

std::string label_of(const Slice& slice) {
  return concat(name_of(slice.kind), " '", slice.name, "'");
}

void check_slice(const Slice& slice) {
  const int rank = slice.global_shape.rank();
  HECATE_CHECK(!slice.name.empty(), "a slice has no tensor name");
  HECATE_CHECK(slice.shape.rank() == rank && slice.offset.size() == static_cast<size_t>(rank),
               label_of(slice), ": slice shape ", slice.shape, " with ", slice.offset.size(),
               " offsets, tensor ", slice.global_shape);
  for (int axis = 0; axis < rank; ++axis) {
    const int64_t begin = slice.offset[static_cast<size_t>(axis)], extent = slice.shape[axis];
    HECATE_CHECK(begin >= 0 && extent >= 0 && begin <= slice.global_shape[axis] &&
                     extent <= slice.global_shape[axis] - begin,
                 label_of(slice), ": slice [", begin, ",", begin + extent, ") on axis ", axis,
                 " of ", slice.global_shape);
  }
}

int64_t overlap_size(const Slice& a, const Slice& b) {
  return intersect(Padded(a), Padded(b)).size;
}

int64_t copy_overlap(const Slice& from, const std::byte* source, const Slice& to,
                     std::byte* target) {
  const Padded source_box(from), target_box(to);
  const Overlap common = intersect(source_box, target_box);
  if (common.size == 0) return 0;
  const size_t element = size_of(from.dtype);
  if (common.size == from.size() && common.size == to.size()) {
    std::memcpy(target, source, static_cast<size_t>(common.size) * element);
    return common.size;
  }
  const size_t run = static_cast<size_t>(common.extent[3]) * element;
  Index at = common.begin;
  for (int64_t i = 0; i < common.extent[0]; ++i)
    for (int64_t j = 0; j < common.extent[1]; ++j)
      for (int64_t k = 0; k < common.extent[2]; ++k) {
        at[0] = common.begin[0] + i;
        at[1] = common.begin[1] + j;
        at[2] = common.begin[2] + k;
        std::memcpy(target + static_cast<size_t>(target_box.position(at)) * element,
                    source + static_cast<size_t>(source_box.position(at)) * element, run);
      }
  return common.size;
}

}  // namespace hecate::checkpoint
