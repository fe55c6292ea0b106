#include "runtime/kernels/kv_cache.h"

#include <algorithm>

#include "runtime/device/stream.h"
#include "runtime/kernels/cuda/kernels.h"

namespace hecate::kernels {

void cache_rows(Stream& s, View<const Real> x, View<const int32_t> positions, View<Real> cache) {
  HECATE_CHECK(x.shape().rank() == 3 && cache.shape().rank() == 4 && cache.dim(0) >= 1 &&
                   x.dim(0) % cache.dim(0) == 0 && positions.size() == x.dim(0) &&
                   cache.dim(2) == x.dim(1) && cache.dim(3) == x.dim(2),
               "cache_rows: x ", x.shape(), ", positions ", positions.shape(), ", cache ",
               cache.shape());
  const int64_t capacity = cache.dim(1), row = x.row_size();
  if (s.device() == DeviceKind::cuda) {
    cuda::check_ids(s, "cache_rows", positions, capacity, false);
    return cuda::cache_rows(s, x, positions, cache);
  }
  for (int64_t t = 0; t < x.dim(0); ++t)
    HECATE_CHECK(positions.data()[t] >= 0 && positions.data()[t] < capacity,
                 "cache_rows: position ", positions.data()[t], " of ", capacity);
  const int64_t sequence = x.dim(0) / cache.dim(0);
  cpu_stream(s, "cache_rows")
      .pool()
      .parallel_ranges(x.dim(0), 64, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t)
          std::copy_n(x.row(t), row, cache.row(t / sequence) + positions.data()[t] * row);
      });
}

}  // namespace hecate::kernels
