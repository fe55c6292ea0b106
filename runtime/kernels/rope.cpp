#include "runtime/kernels/rope.h"

#include <cmath>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/sequence.h"
#include "runtime/kernels/cuda/kernels.h"

namespace hecate::kernels {

void rope_table(Stream& s, double theta, View<Real> table) {
  const int64_t size = table.dim(1), half = size / 2;
  HECATE_CHECK(size % 2 == 0, "rope_table: odd rotary size ", size);
  if (s.device() == DeviceKind::cuda) return cuda::rope_table(s, theta, table);
  cpu_stream(s, "rope_table");
  for (int64_t p = 0; p < table.rows(); ++p)
    for (int64_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p) * std::pow(theta, -2.0 * static_cast<double>(i) /
                                                                        static_cast<double>(size));
      table.row(p)[i] = static_cast<Real>(std::cos(angle));
      table.row(p)[half + i] = static_cast<Real>(std::sin(angle));
    }
}

void rope(Stream& s, View<Real> x, View<const int32_t> positions, View<const Real> table,
          bool inverse) {
  HECATE_CHECK(x.shape().rank() == 3 && positions.size() == x.dim(0) && table.dim(1) == x.dim(2) &&
                   x.dim(2) % 2 == 0,
               "rope: x ", x.shape(), ", positions ", positions.shape(), ", table ", table.shape());
  if (s.device() == DeviceKind::cuda) return cuda::rope(s, x, positions, table, inverse);
  const int64_t size = x.dim(2), half = size / 2;
  cpu_stream(s, "rope").pool().parallel_ranges(x.dim(0), 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const Real* angles = table.row(positions.data()[t]);
      for (int64_t g = 0; g < x.dim(1); ++g)
        HECATE_ISA_CALL(rope_row, half, inverse ? Real{-1} : Real{1}, angles, angles + half,
                        x.row(t) + g * size);
    }
  });
}

}  // namespace hecate::kernels
