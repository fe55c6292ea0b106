#pragma once
#include <algorithm>
#include <cstdint>

#include "runtime/device/stream.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate::kernels::cpu {

/// Elements of the smallest piece worth a thread.
inline constexpr int64_t kPieceElements = 8192;

/// Calls body(n, pointer into each view...) on pieces that cover every element once, in parallel:
/// views that are all contiguous as one long row, others row by row.
/// @throws InvalidArgument naming `name` where the shapes differ.
template <class Body, class First, class... Rest>
void for_pieces(Stream& s, const char* name, const Body& body, const View<First>& first,
                const View<Rest>&... rest) {
  HECATE_CHECK(((rest.shape() == first.shape()) && ...), name, ": shapes differ: ", first.shape(),
               concat(" and ", rest.shape())...);
  ThreadPool& pool = cpu_stream(s, name).pool();
  if (first.contiguous() && (rest.contiguous() && ...)) {
    pool.parallel_ranges(first.size(), kPieceElements, [&](int64_t begin, int64_t end, int) {
      body(end - begin, first.data() + begin, (rest.data() + begin)...);
    });
    return;
  }
  const int64_t width = first.row_size();
  const int64_t rows = std::max<int64_t>(1, kPieceElements / std::max<int64_t>(1, width));
  pool.parallel_ranges(first.rows(), rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) body(width, first.row(t), rest.row(t)...);
  });
}

}  // namespace hecate::kernels::cpu
