#include "runtime/kernels/permute.h"

#include <algorithm>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/elementwise.h"
#include "runtime/kernels/cuda/kernels.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kGrain = 16;  // rows

template <class Body>
void for_rows(Stream& s, const char* name, int64_t rows, const Body& body) {
  cpu_stream(s, name).pool().parallel_ranges(rows, kGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

}  // namespace

int64_t plan_permutation(Stream& s, View<const int32_t> experts, std::span<int64_t> offsets,
                         View<int32_t> row_of, View<int32_t> choice_of) {
  HECATE_CHECK(
      row_of.shape() == experts.shape() && !offsets.empty() && choice_of.size() >= experts.size(),
      "plan_permutation: experts ", experts.shape(), ", row_of ", row_of.shape(), ", choice_of ",
      choice_of.shape());
  if (s.device() == DeviceKind::cuda)
    return cuda::plan_permutation(s, experts, offsets, row_of, choice_of);
  cpu_stream(s, "plan_permutation");
  const int64_t top_k = experts.dim(1);
  std::ranges::fill(offsets, 0);
  // Counts shifted by two, so that after the running sum offsets[e + 1] is where expert e starts;
  // placing rows then moves it to where e ends.
  for (int64_t t = 0; t < experts.rows(); ++t)
    for (int64_t k = 0; k < top_k; ++k) {
      const int32_t e = experts.row(t)[k];
      HECATE_CHECK(e < static_cast<int64_t>(offsets.size()) - 1, "plan_permutation: expert ", e,
                   " of ", offsets.size() - 1);
      if (e >= 0 && static_cast<size_t>(e) + 2 < offsets.size())
        ++offsets[static_cast<size_t>(e) + 2];
    }
  for (size_t e = 2; e < offsets.size(); ++e) offsets[e] += offsets[e - 1];
  for (int64_t t = 0; t < experts.rows(); ++t)
    for (int64_t k = 0; k < top_k; ++k) {
      const int32_t e = experts.row(t)[k];
      if (e < 0) {
        row_of.row(t)[k] = -1;
        continue;
      }
      const int64_t row = offsets[static_cast<size_t>(e) + 1]++;
      row_of.row(t)[k] = static_cast<int32_t>(row);
      choice_of.data()[row] = static_cast<int32_t>(t * top_k + k);
    }
  return offsets.back();
}

void permute(Stream& s, View<const Real> x, int64_t top_k, View<const int32_t> choice_of,
             View<Real> rows) {
  HECATE_CHECK(rows.dim(1) == x.dim(1) && choice_of.size() == rows.rows(), "permute: x ", x.shape(),
               ", choice_of ", choice_of.shape(), ", rows ", rows.shape());
  if (s.device() == DeviceKind::cuda) return cuda::permute(s, x, top_k, choice_of, rows);
  for_rows(s, "permute", rows.rows(), [&](int64_t r) {
    std::copy_n(x.row(choice_of.data()[r] / top_k), x.dim(1), rows.row(r));
  });
}

void permute_backward(Stream& s, View<const Real> drows, View<const int32_t> row_of, View<Real> dx,
                      bool accumulate) {
  HECATE_CHECK(drows.dim(1) == dx.dim(1) && row_of.rows() == dx.rows(), "permute_backward: drows ",
               drows.shape(), ", row_of ", row_of.shape(), ", dx ", dx.shape());
  if (s.device() == DeviceKind::cuda)
    return cuda::permute_backward(s, drows, row_of, dx, accumulate);
  const int64_t n = dx.dim(1);
  for_rows(s, "permute_backward", dx.rows(), [&](int64_t t) {
    if (!accumulate) std::fill_n(dx.row(t), n, Real{0});
    for (int64_t k = 0; k < row_of.dim(1); ++k)
      if (row_of.row(t)[k] >= 0)
        HECATE_ISA_CALL(add, n, Real{1}, drows.row(row_of.row(t)[k]), dx.row(t));
  });
}

void unpermute(Stream& s, View<const Real> rows, View<const int32_t> row_of,
               View<const Real> weights, View<Real> y, bool accumulate) {
  HECATE_CHECK(
      rows.dim(1) == y.dim(1) && row_of.rows() == y.rows() && weights.shape() == row_of.shape(),
      "unpermute: rows ", rows.shape(), ", row_of ", row_of.shape(), ", weights ", weights.shape(),
      ", y ", y.shape());
  if (s.device() == DeviceKind::cuda)
    return cuda::unpermute(s, rows, row_of, weights, y, accumulate);
  const int64_t n = y.dim(1);
  for_rows(s, "unpermute", y.rows(), [&](int64_t t) {
    if (!accumulate) std::fill_n(y.row(t), n, Real{0});
    for (int64_t k = 0; k < row_of.dim(1); ++k)
      if (row_of.row(t)[k] >= 0)
        HECATE_ISA_CALL(add, n, weights.row(t)[k], rows.row(row_of.row(t)[k]), y.row(t));
  });
}

void unpermute_backward(Stream& s, View<const Real> dy, View<const Real> rows,
                        View<const int32_t> row_of, View<const int32_t> choice_of,
                        View<const Real> weights, View<Real> drows, View<Real> dweights) {
  HECATE_CHECK(rows.shape() == drows.shape() && dy.dim(1) == rows.dim(1) &&
                   choice_of.size() == rows.rows() && weights.shape() == row_of.shape() &&
                   dweights.shape() == row_of.shape() && dy.rows() == row_of.rows(),
               "unpermute_backward: dy ", dy.shape(), ", rows ", rows.shape(), ", row_of ",
               row_of.shape(), ", weights ", weights.shape());
  if (s.device() == DeviceKind::cuda)
    return cuda::unpermute_backward(s, dy, rows, row_of, choice_of, weights, drows, dweights);
  const int64_t n = dy.dim(1), top_k = row_of.dim(1);
  for_rows(s, "unpermute_backward", dy.rows(), [&](int64_t t) {
    for (int64_t k = 0; k < top_k; ++k) {
      const int32_t row = row_of.row(t)[k];
      Real& dweight = dweights.row(t)[k];
      dweight = 0;
      if (row < 0) continue;
      dweight = HECATE_ISA_CALL(dot, n, dy.row(t), rows.row(row));
      HECATE_ISA_CALL(scale_to, n, weights.row(t)[k], dy.row(t), drows.row(row));
    }
  });
}

}  // namespace hecate::kernels
