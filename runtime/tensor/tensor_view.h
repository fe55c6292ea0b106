#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <type_traits>

#include "runtime/base/error.h"

namespace hecate {

/// Up to four dimensions, row-major, outermost first.
class Shape {
 public:
  static constexpr int kMaxRank = 4;
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    HECATE_CHECK(dims.size() <= kMaxRank, "Shape: rank ", dims.size(), ", at most 4");
    for (int64_t dim : dims) dims_[rank_++] = dim;
  }
  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }
  int64_t size() const {
    int64_t product = 1;
    for (int axis = 0; axis < rank_; ++axis) product *= (*this)[axis];
    return product;
  }
  bool operator==(const Shape&) const = default;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  uint8_t rank_ = 0;
};

inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (int axis = 0; axis < shape.rank(); ++axis) out << (axis > 0 ? "," : "") << shape[axis];
  return out << ']';
}

/// A non-owning tensor: rows (dimension 0) may be `row_stride` elements apart, everything inside a
/// row is contiguous. Copyable, as cheap as a pointer; View<T> converts to View<const T>.
template <class T>
class View {
 public:
  View() = default;
  View(T* data, Shape shape) : data_(data), shape_(shape), row_stride_(row_size()) {}
  /// @param row_stride elements between the starts of two rows, >= the size of a row.
  View(T* data, Shape shape, int64_t row_stride)
      : data_(data), shape_(shape), row_stride_(row_stride) {
    HECATE_CHECK(row_stride >= row_size(), "View: row stride ", row_stride, " below row size ",
                 row_size());
  }
  template <class U>
  requires(std::is_same_v<T, const U> && !std::is_const_v<U>)
      View(const View<U>& other)  // NOLINT: implicit like T* to const T*
      : data_(other.data()), shape_(other.shape()), row_stride_(other.row_stride()) {}

  T* data() const { return data_; }
  const Shape& shape() const { return shape_; }
  int64_t dim(int axis) const { return shape_[axis]; }
  int64_t size() const { return shape_.size(); }
  int64_t rows() const { return shape_.rank() == 0 ? 1 : shape_[0]; }
  int64_t row_size() const {
    int64_t product = 1;
    for (int axis = 1; axis < shape_.rank(); ++axis) product *= shape_[axis];
    return product;
  }
  int64_t row_stride() const { return row_stride_; }
  bool contiguous() const { return row_stride_ == row_size() || rows() <= 1; }
  T* row(int64_t index) const { return data_ + index * row_stride_; }
  /// Rows [begin, begin + count).
  View rows(int64_t begin, int64_t count) const {
    HECATE_CHECK(begin >= 0 && count >= 0 && begin + count <= rows(), "View::rows: [", begin, ", ",
                 begin + count, ") of ", rows());
    View part = *this;
    part.data_ = row(begin);
    part.shape_ = with_rows(count);
    return part;
  }
  /// The same elements under another shape of equal size; the view must be contiguous.
  View reshape(Shape shape) const {
    HECATE_CHECK(shape.size() == size() && contiguous(), "View::reshape: ", shape_, " to ", shape);
    return View(data_, shape);
  }

 private:
  Shape with_rows(int64_t count) const {
    switch (shape_.rank()) {
      case 1:
        return {count};
      case 2:
        return {count, shape_[1]};
      case 3:
        return {count, shape_[1], shape_[2]};
      default:
        return {count, shape_[1], shape_[2], shape_[3]};
    }
  }

  T* data_ = nullptr;
  Shape shape_;
  int64_t row_stride_ = 0;
};

}  // namespace hecate
