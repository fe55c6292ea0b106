#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/tensor/dtype.h"

namespace hecate::collectives::contract {

/// Fails the case.
template <class... Args>
void require(bool condition, const Args&... message) {
  if (!condition) throw Error(concat(message...));
}

/// The value at an index of a rank's input: -3 .. 3, so that 64 of them add up exactly in bf16.
inline int value_of(int rank, int64_t index) {
  return static_cast<int>((index * 5 + rank * 3 + index / 7) % 7) - 3;
}

template <class T>
T from_int(int value) {
  if constexpr (std::is_same_v<T, bf16>) {
    return bf16(static_cast<float>(value));
  } else {
    return static_cast<T>(value);
  }
}

template <class T>
double to_double(T value) {
  if constexpr (std::is_same_v<T, bf16>) {
    return static_cast<float>(value);
  } else {
    return static_cast<double>(value);
  }
}

/// Elements [offset, offset + count) of a rank's input.
template <class T>
std::vector<T> input_of(int rank, int64_t count, int64_t offset = 0) {
  std::vector<T> data(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i)
    data[static_cast<size_t>(i)] = from_int<T>(value_of(rank, offset + i));
  return data;
}

/// The sum of all ranks' inputs at an index.
inline int sum_at(int ranks, int64_t index) {
  int sum = 0;
  for (int r = 0; r < ranks; ++r) sum += value_of(r, index);
  return sum;
}

template <class T>
void require_equal(const char* what, const std::vector<T>& got, int64_t at, int expected,
                   int64_t count) {
  const double value = to_double(got[static_cast<size_t>(at)]);
  require(value == expected, what, ": element ", at, " of ", count, " ", name_of(dtype_of<T>()),
          " is ", value, ", expected ", expected);
}

/// Calls body with a value of every type that collectives add.
template <class Body>
void for_each_type(const Body& body) {
  body(float{});
  body(bf16{});
  body(int32_t{});
  body(int64_t{});
  body(double{});
}

/// From nothing over odd sizes to more than one segment per rank.
inline const std::vector<int64_t>& sizes() {
  static const std::vector<int64_t> all = {0, 1, 2, 63, 64, 1000, 4097, 300001};
  return all;
}

}  // namespace hecate::collectives::contract
