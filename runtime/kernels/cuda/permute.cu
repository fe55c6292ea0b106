#include <vector>

#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.cuh"
#include "runtime/kernels/cuda/ordered_choices.cuh"

namespace hecate::kernels::cuda {
namespace {

// One warp per (token, k): the weight's gradient and the row's.
__global__ void unpermute_backward_kernel(int64_t choices, int64_t top_k, int64_t n,
                                          Rows<const Real> dy, Rows<const Real> rows,
                                          Rows<const int32_t> row_of, Rows<const Real> weights,
                                          Rows<Real> drows, Rows<Real> dweights) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t warps = int64_t{gridDim.x} * blockDim.x / kWarp;
  for (int64_t c = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / kWarp; c < choices;
       c += warps) {
    const int64_t t = c / top_k, k = c % top_k;
    const int32_t row = row_of[t][k];
    const Real weight = weights[t][k];
    Real dot = 0;
    if (row >= 0)
      for (int64_t i = lane; i < n; i += kWarp) {
        const Real d = dy[t][i];
        dot += d * rows[row][i];
        drows[row][i] = weight * d;
      }
    dot = warp_sum(dot);
    if (lane == 0) dweights[t][k] = dot;
  }
}

// The sum over k of weight * rows[row_of[t,k]]; weights.data null: all 1.
void add_rows(Stream& s, const char* name, const View<const Real>& rows,
              const View<const int32_t>& row_of, const Rows<const Real>& weights,
              const View<Real>& y, bool accumulate) {
  const auto in = rows_of(rows);
  const auto row = rows_of(row_of);
  const auto out = rows_of(y);
  const int64_t top_k = row_of.dim(1);
  map_rows(s, name, y.rows(), y.dim(1), [=] __device__(int64_t t, int64_t i) {
    Real sum = accumulate ? out[t][i] : Real(0);
    for (int64_t k = 0; k < top_k; ++k)
      if (row[t][k] >= 0)
        sum += (weights.data == nullptr ? Real(1) : weights[t][k]) * in[row[t][k]][i];
    out[t][i] = sum;
  });
}

}  // namespace

int64_t plan_permutation(Stream& s, View<const int32_t> experts, std::span<int64_t> offsets,
                         View<int32_t> row_of, View<int32_t> choice_of) {
  const auto count = static_cast<int64_t>(offsets.size()) - 1;
  const int64_t top_k = experts.dim(1), choices = experts.size();
  std::vector<int64_t> counts(static_cast<size_t>(count));
  if (count > 0) count_experts(s, experts, counts);
  offsets[0] = 0;
  for (size_t e = 0; e < counts.size(); ++e) offsets[e + 1] = offsets[e] + counts[e];
  if (choices == 0 || count == 0) return offsets.back();
  auto* first = reinterpret_cast<int64_t*>(s.workspace(offsets.size() * sizeof(int64_t)));
  check(cudaMemcpyAsync(first, offsets.data(), offsets.size() * sizeof(int64_t), cudaMemcpyDefault,
                        cuda_stream(s, "plan_permutation").get()),
        "cudaMemcpyAsync");
  const auto chosen = rows_of(experts);
  const auto row = rows_of(row_of);
  int32_t* choice = choice_of.data();
  map_rows(s, "plan_permutation", experts.rows(), top_k, [=] __device__(int64_t t, int64_t k) {
    if (chosen[t][k] < 0) row[t][k] = -1;
  });
  for_ordered_choices(s, "plan_permutation", count, choices, top_k, chosen,
                      [=] __device__(int64_t e, int64_t c, int64_t rank) {
                        const int64_t at = first[e] + rank;
                        row[c / top_k][c % top_k] = static_cast<int32_t>(at);
                        choice[at] = static_cast<int32_t>(c);
                      });
  return offsets.back();
}

void permute(Stream& s, View<const Real> x, int64_t top_k, View<const int32_t> choice_of,
             View<Real> rows) {
  const auto in = rows_of(x);
  const auto out = rows_of(rows);
  const int32_t* choice = choice_of.data();
  map_rows(s, "permute", rows.rows(), x.dim(1),
           [=] __device__(int64_t r, int64_t i) { out[r][i] = in[choice[r] / top_k][i]; });
}

void permute_backward(Stream& s, View<const Real> drows, View<const int32_t> row_of, View<Real> dx,
                      bool accumulate) {
  add_rows(s, "permute_backward", drows, row_of, {}, dx, accumulate);
}

void unpermute(Stream& s, View<const Real> rows, View<const int32_t> row_of,
               View<const Real> weights, View<Real> y, bool accumulate) {
  add_rows(s, "unpermute", rows, row_of, rows_of(weights), y, accumulate);
}

void unpermute_backward(Stream& s, View<const Real> dy, View<const Real> rows,
                        View<const int32_t> row_of, View<const int32_t>, View<const Real> weights,
                        View<Real> drows, View<Real> dweights) {
  launch(s, "unpermute_backward", unpermute_backward_kernel,
         dim3(blocks_for(row_of.size(), kThreads / kWarp)), kThreads, row_of.size(), row_of.dim(1),
         rows.dim(1), rows_of(dy), rows_of(rows), rows_of(row_of), rows_of(weights), rows_of(drows),
         rows_of(dweights));
}

}  // namespace hecate::kernels::cuda
