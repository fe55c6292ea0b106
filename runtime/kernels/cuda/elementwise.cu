#include "runtime/base/rng.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.cuh"
#include "runtime/kernels/cuda/math.cuh"
#include "runtime/kernels/math/dropout.h"

namespace hecate::kernels::cuda {
namespace {

constexpr int64_t kBlock = 1 << 15;  // elements of a partial sum
constexpr unsigned long long kNowhere = ~0ull;

__global__ void squares_kernel(const Real* x, int64_t size, double* partial) {
  __shared__ double slots[kWarp];
  const int64_t begin = blockIdx.x * kBlock, end = begin + kBlock < size ? begin + kBlock : size;
  double sum = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x)
    sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  sum = block_sum(sum, slots);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void ordered_sum_kernel(int64_t count, double* values) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += values[i];
  values[count] = sum;
}

// The least index with a property, on the device: `found` holds kNowhere before.
unsigned long long* start_search(Stream& s) {
  auto* found = reinterpret_cast<unsigned long long*>(s.workspace(sizeof(unsigned long long)));
  check(cudaMemsetAsync(found, 0xff, sizeof(*found), cuda_stream(s, "search").get()),
        "cudaMemsetAsync");
  return found;
}
int64_t end_search(Stream& s, const unsigned long long* found) {
  unsigned long long index = kNowhere;
  read_back(s, found, &index, 1);
  return index == kNowhere ? -1 : static_cast<int64_t>(index);
}

}  // namespace

void fill(Stream& s, Real value, View<Real> x) {
  const auto out = rows_of(x);
  map_rows(s, "fill", x.rows(), x.row_size(),
           [=] __device__(int64_t t, int64_t i) { out[t][i] = value; });
}

void copy(Stream& s, View<const Real> x, View<Real> y) {
  const auto in = rows_of(x);
  const auto out = rows_of(y);
  map_rows(s, "copy", x.rows(), x.row_size(),
           [=] __device__(int64_t t, int64_t i) { out[t][i] = in[t][i]; });
}

void add(Stream& s, Real alpha, View<const Real> x, View<Real> y) {
  const auto in = rows_of(x);
  const auto out = rows_of(y);
  map_rows(s, "add", x.rows(), x.row_size(),
           [=] __device__(int64_t t, int64_t i) { out[t][i] += alpha * in[t][i]; });
}

void add_to(Stream& s, View<const Real> a, Real alpha, View<const Real> b, View<Real> out) {
  const auto left = rows_of(a);
  const auto right = rows_of(b);
  const auto to = rows_of(out);
  map_rows(s, "add_to", a.rows(), a.row_size(),
           [=] __device__(int64_t t, int64_t i) { to[t][i] = left[t][i] + alpha * right[t][i]; });
}

void scale(Stream& s, Real alpha, View<Real> x) {
  const auto out = rows_of(x);
  map_rows(s, "scale", x.rows(), x.row_size(),
           [=] __device__(int64_t t, int64_t i) { out[t][i] *= alpha; });
}

double sum_of_squares(Stream& s, View<const Real> x) {
  const int64_t blocks = (x.size() + kBlock - 1) / kBlock;
  if (blocks == 0) return 0;
  auto* partial =
      reinterpret_cast<double*>(s.workspace(static_cast<size_t>(blocks + 1) * sizeof(double)));
  launch(s, "sum_of_squares", squares_kernel, dim3(static_cast<unsigned>(blocks)), kThreads,
         x.data(), x.size(), partial);
  launch(s, "sum_of_squares", ordered_sum_kernel, dim3(1), 1, blocks, partial);
  double sum = 0;
  read_back(s, partial + blocks, &sum, 1);
  return sum;
}

int64_t first_non_finite(Stream& s, View<const Real> x) {
  unsigned long long* found = start_search(s);
  const Real* values = x.data();
  map(s, "first_non_finite", x.size(), [=] __device__(int64_t i) {
    if (!std::isfinite(values[i])) atomicMin(found, static_cast<unsigned long long>(i));
  });
  return end_search(s, found);
}

void check_ids(Stream& s, const char* name, View<const int32_t> ids, int64_t limit, bool negative) {
  unsigned long long* found = start_search(s);
  const auto in = rows_of(ids);
  const int64_t width = ids.row_size();
  map_rows(s, name, ids.rows(), width, [=] __device__(int64_t t, int64_t i) {
    const int32_t id = in[t][i];
    const int64_t value = id < 0 && negative ? -1 - int64_t{id} : int64_t{id};
    if (value < 0 || value >= limit)
      atomicMin(found, static_cast<unsigned long long>(t * width + i));
  });
  const int64_t at = end_search(s, found);
  if (at < 0) return;
  int32_t id = 0;
  read_back(s, ids.row(at / width) + at % width, &id, 1);
  throw InvalidArgument(
      concat(name, ": ", id, " at ", at / width, " is outside the ", limit, " there are"));
}

void dropout(Stream& s, Real rate, uint64_t seed, uint64_t stream, int64_t first_row,
             View<const Real> x, View<Real> y) {
  const auto in = rows_of(x);
  const auto out = rows_of(y);
  const int64_t width = x.row_size();
  const math::Dropout<Math> rule(rate, seed, stream);
  map_rows(s, "dropout", x.rows(), width, [=] __device__(int64_t t, int64_t i) {
    out[t][i] = rule(in[t][i], static_cast<uint64_t>((first_row + t) * width + i));
  });
}

void embedding(Stream& s, View<const int32_t> ids, View<const Real> table, Real factor,
               View<Real> out) {
  const auto id = rows_of(ids);
  const auto from = rows_of(table);
  const auto to = rows_of(out);
  map_rows(s, "embedding", ids.rows(), table.dim(1),
           [=] __device__(int64_t t, int64_t i) { to[t][i] = factor * from[*id[t]][i]; });
}

// A thread owns a column, so that every element sees its tokens in order.
void embedding_backward(Stream& s, View<const int32_t> ids, View<const Real> dy, Real factor,
                        View<Real> dtable) {
  const auto id = rows_of(ids);
  const auto from = rows_of(dy);
  const auto to = rows_of(dtable);
  const int64_t tokens = ids.rows();
  map(s, "embedding_backward", dtable.dim(1), [=] __device__(int64_t i) {
    for (int64_t t = 0; t < tokens; ++t) to[*id[t]][i] += factor * from[t][i];
  });
}

}  // namespace hecate::kernels::cuda
