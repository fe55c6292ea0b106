#include "runtime/kernels/norm.h"

#include <algorithm>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/sequence.h"
#include "runtime/kernels/cuda/kernels.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kRows = 8;    // rows of a forward task, at least
constexpr int64_t kBlock = 64;  // rows whose gamma gradients are summed together

struct Groups {
  int64_t rows, groups, n;
};

Groups groups_of(const char* name, const View<const Real>& x, const View<const Real>& gamma,
                 int64_t statistics) {
  const int rank = x.shape().rank();
  HECATE_CHECK((rank == 2 || rank == 3) && gamma.size() == x.dim(rank - 1), name, ": x ", x.shape(),
               ", gamma ", gamma.shape());
  const Groups g{.rows = x.dim(0), .groups = rank == 3 ? x.dim(1) : 1, .n = x.dim(rank - 1)};
  HECATE_CHECK(statistics == g.rows * g.groups, name, ": ", statistics, " row statistics for ",
               x.shape());
  return g;
}

template <class Row>
void for_rows(Stream& s, const char* name, const Groups& g, const Row& row) {
  cpu_stream(s, name).pool().parallel_ranges(g.rows, kRows, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t group = 0; group < g.groups; ++group) row(t, group);
  });
}

// Runs row(t, group, partial) where `partial` are `width` zeroed sums of the row's block, then adds
// the blocks' sums to `out` in order.
template <class Row>
void for_rows_with_sums(Stream& s, const char* name, const Groups& g, int64_t width, const Row& row,
                        std::initializer_list<Real*> out) {
  CpuStream& stream = cpu_stream(s, name);
  const int64_t blocks = (g.rows + kBlock - 1) / kBlock;
  if (blocks == 0) return;
  auto* sums =
      reinterpret_cast<Real*>(stream.workspace(static_cast<size_t>(blocks * width) * sizeof(Real)));
  stream.pool().parallel_for(blocks, [&](int64_t block, int) {
    Real* partial = sums + block * width;
    std::fill_n(partial, width, Real{0});
    const int64_t end = std::min(g.rows, (block + 1) * kBlock);
    for (int64_t t = block * kBlock; t < end; ++t)
      for (int64_t group = 0; group < g.groups; ++group) row(t, group, partial);
  });
  const Real* partial = sums;
  for (int64_t block = 0; block < blocks; ++block)
    for (Real* target : out) {
      for (int64_t i = 0; i < g.n; ++i) target[i] += partial[i];
      partial += g.n;
    }
}

}  // namespace

void rms_norm(Stream& s, View<const Real> x, View<const Real> gamma, Real eps, View<Real> y,
              View<Real> rstd) {
  const Groups g = groups_of("rms_norm", x, gamma, rstd.size());
  HECATE_CHECK(y.shape() == x.shape(), "rms_norm: x ", x.shape(), ", y ", y.shape());
  if (s.device() == DeviceKind::cuda) return cuda::rms_norm(s, x, gamma, eps, y, rstd);
  for_rows(s, "rms_norm", g, [&](int64_t t, int64_t group) {
    const int64_t at = group * g.n;
    rstd.data()[t * g.groups + group] =
        HECATE_ISA_CALL(rms_norm_row, g.n, eps, x.row(t) + at, gamma.data(), y.row(t) + at);
  });
}

void rms_norm_backward(Stream& s, View<const Real> x, View<const Real> gamma, View<const Real> rstd,
                       View<const Real> dy, View<Real> dx, bool accumulate, View<Real> dgamma) {
  const Groups g = groups_of("rms_norm_backward", x, gamma, rstd.size());
  HECATE_CHECK(dy.shape() == x.shape() && dx.shape() == x.shape() && dgamma.size() == g.n,
               "rms_norm_backward: x ", x.shape(), ", dy ", dy.shape(), ", dx ", dx.shape(),
               ", dgamma ", dgamma.shape());
  if (s.device() == DeviceKind::cuda)
    return cuda::rms_norm_backward(s, x, gamma, rstd, dy, dx, accumulate, dgamma);
  for_rows_with_sums(s, "rms_norm_backward", g, g.n,
                     [&](int64_t t, int64_t group, Real* partial) {
                       const int64_t at = group * g.n;
                       HECATE_ISA_CALL(rms_norm_row_backward, g.n,
                                       rstd.data()[t * g.groups + group], x.row(t) + at,
                                       gamma.data(), dy.row(t) + at, accumulate, dx.row(t) + at,
                                       partial);
                     },
                     {dgamma.data()});
}

void layer_norm(Stream& s, View<const Real> x, View<const Real> gamma, View<const Real> beta,
                Real eps, View<Real> y, View<Real> mean, View<Real> rstd) {
  const Groups g = groups_of("layer_norm", x, gamma, rstd.size());
  HECATE_CHECK(y.shape() == x.shape() && beta.size() == g.n && mean.size() == rstd.size(),
               "layer_norm: x ", x.shape(), ", beta ", beta.shape(), ", y ", y.shape(), ", mean ",
               mean.shape());
  if (s.device() == DeviceKind::cuda)
    return cuda::layer_norm(s, x, gamma, beta, eps, y, mean, rstd);
  for_rows(s, "layer_norm", g, [&](int64_t t, int64_t group) {
    const int64_t at = group * g.n, row = t * g.groups + group;
    HECATE_ISA_CALL(layer_norm_row, g.n, eps, x.row(t) + at, gamma.data(), beta.data(),
                    y.row(t) + at, mean.data() + row, rstd.data() + row);
  });
}

void layer_norm_backward(Stream& s, View<const Real> x, View<const Real> gamma,
                         View<const Real> mean, View<const Real> rstd, View<const Real> dy,
                         View<Real> dx, bool accumulate, View<Real> dgamma, View<Real> dbeta) {
  const Groups g = groups_of("layer_norm_backward", x, gamma, rstd.size());
  HECATE_CHECK(dy.shape() == x.shape() && dx.shape() == x.shape() && dgamma.size() == g.n &&
                   dbeta.size() == g.n && mean.size() == rstd.size(),
               "layer_norm_backward: x ", x.shape(), ", dy ", dy.shape(), ", dx ", dx.shape(),
               ", dgamma ", dgamma.shape(), ", dbeta ", dbeta.shape());
  if (s.device() == DeviceKind::cuda)
    return cuda::layer_norm_backward(s, x, gamma, mean, rstd, dy, dx, accumulate, dgamma, dbeta);
  for_rows_with_sums(s, "layer_norm_backward", g, 2 * g.n,
                     [&](int64_t t, int64_t group, Real* partial) {
                       const int64_t at = group * g.n, row = t * g.groups + group;
                       HECATE_ISA_CALL(layer_norm_row_backward, g.n, mean.data()[row],
                                       rstd.data()[row], x.row(t) + at, gamma.data(),
                                       dy.row(t) + at, accumulate, dx.row(t) + at, partial,
                                       partial + g.n);
                     },
                     {dgamma.data(), dbeta.data()});
}

}  // namespace hecate::kernels
