#include <vector>

#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.cuh"
#include "runtime/kernels/cuda/math.cuh"
#include "runtime/memory/aligned.h"

namespace hecate::kernels::cuda {
namespace {

// One block per row: its loss; with a gradient its logits become scale * (softmax - one-hot).
__global__ void row_loss_kernel(int64_t rows, int64_t vocabulary, Rows<Real> logits,
                                const int32_t* index, Rows<const int32_t> targets, bool gradient,
                                Real scale, double* loss) {
  __shared__ Real slots[kWarp];
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    Real* row = logits[r];
    const int32_t target = *targets[index[r]];
    Real shift = row[0];
    for (int64_t v = threadIdx.x; v < vocabulary; v += blockDim.x)
      shift = row[v] > shift ? row[v] : shift;
    shift = block_max(shift, slots);
    Real sum = 0;
    for (int64_t v = threadIdx.x; v < vocabulary; v += blockDim.x) sum += Math::exp(row[v] - shift);
    sum = block_sum(sum, slots);
    if (threadIdx.x == 0)
      loss[index[r]] = std::log(static_cast<double>(sum)) -
                       (static_cast<double>(row[target]) - static_cast<double>(shift));
    __syncthreads();
    if (!gradient) continue;
    for (int64_t v = threadIdx.x; v < vocabulary; v += blockDim.x)
      row[v] = scale / sum * Math::exp(row[v] - shift) - (v == target ? scale : Real(0));
  }
}

// The device scratch of one call: indices of valid rows and losses of all, one chunk of the rest.
struct Scratch {
  int32_t* index;
  double* loss;
  Real *logits, *x, *dx;
  Scratch(Stream& s, int64_t tokens, int64_t chunk, int64_t width, int64_t vocabulary) {
    const auto bytes = [](int64_t count, size_t size) {
      return align_up(static_cast<size_t>(count) * size);
    };
    std::byte* at = s.workspace(bytes(tokens, sizeof(int32_t)) + bytes(tokens, sizeof(double)) +
                                bytes(chunk * vocabulary, sizeof(Real)) +
                                2 * bytes(chunk * width, sizeof(Real)));
    index = reinterpret_cast<int32_t*>(at);
    loss = reinterpret_cast<double*>(at += bytes(tokens, sizeof(int32_t)));
    logits = reinterpret_cast<Real*>(at += bytes(tokens, sizeof(double)));
    x = reinterpret_cast<Real*>(at += bytes(chunk * vocabulary, sizeof(Real)));
    dx = reinterpret_cast<Real*>(at + bytes(chunk * width, sizeof(Real)));
  }
};

struct Head {
  Stream& s;
  const HeadOptions& options;
  View<const Real> x, w;
  View<const int32_t> targets;
  bool gradient;
  Real gradient_scale;
  View<Real> dx, dw;
};

void chunk_gradient(const Head& h, const Scratch& scratch, const int32_t* index, int64_t rows) {
  const int64_t width = h.x.dim(1);
  const View<const Real> dlogits(scratch.logits, {rows, h.w.dim(0)});
  const View<const Real> in(scratch.x, {rows, width});
  const View<Real> out(scratch.dx, {rows, width});
  cuda::gemm(h.s, Transpose::no, Transpose::no, h.options.logit_scale, dlogits, h.w, 0, out);
  cuda::gemm(h.s, Transpose::yes, Transpose::no, h.options.logit_scale, dlogits, in, 1, h.dw);
  const auto to = rows_of(h.dx);
  const Real* from = scratch.dx;
  map_rows(h.s, "head_loss_and_gradient", rows, width,
           [=] __device__(int64_t r, int64_t i) { to[index[r]][i] = from[r * width + i]; });
}

// Gathers valid rows chunk by chunk, so that products spend nothing on masked ones.
HeadLoss run(const Head& h, View<Real> token_loss) {
  const int64_t tokens = h.x.rows(), width = h.x.dim(1), vocabulary = h.w.dim(0);
  std::vector<int32_t> target(static_cast<size_t>(tokens)), valid;
  HECATE_CHECK(h.targets.contiguous(), "head_loss: targets have a row stride");
  if (tokens > 0) read_back(h.s, h.targets.data(), target.data(), tokens);
  for (int64_t t = 0; t < tokens; ++t) {
    HECATE_CHECK(target[static_cast<size_t>(t)] < vocabulary, "head_loss: target ",
                 target[static_cast<size_t>(t)], " at ", t, ", vocabulary ", vocabulary);
    if (target[static_cast<size_t>(t)] >= 0) valid.push_back(static_cast<int32_t>(t));
  }
  if (token_loss.data() != nullptr) fill(h.s, 0, token_loss);
  if (h.gradient) fill(h.s, 0, h.dx);
  if (valid.empty()) return {};
  const auto count = static_cast<int64_t>(valid.size());
  const int64_t chunk = std::min(count, h.options.chunk_rows);
  const Scratch scratch(h.s, tokens, chunk, width, vocabulary);
  check(cudaMemcpyAsync(scratch.index, valid.data(), valid.size() * sizeof(int32_t),
                        cudaMemcpyDefault, cuda_stream(h.s, "head_loss").get()),
        "cudaMemcpyAsync");
  const auto from = rows_of(h.x);
  for (int64_t first = 0; first < count; first += chunk) {
    const int64_t rows = std::min(chunk, count - first);
    const int32_t* index = scratch.index + first;
    Real* to = scratch.x;
    map_rows(h.s, "head_loss", rows, width,
             [=] __device__(int64_t r, int64_t i) { to[r * width + i] = from[index[r]][i]; });
    const View<Real> logits(scratch.logits, {rows, vocabulary});
    cuda::gemm(h.s, Transpose::no, Transpose::yes, h.options.logit_scale,
               View<const Real>(scratch.x, {rows, width}), h.w, 0, logits);
    launch(h.s, "head_loss", row_loss_kernel, dim3(blocks_for(rows, 1)), kThreads, rows, vocabulary,
           rows_of(logits), index, rows_of(h.targets), h.gradient, h.gradient_scale, scratch.loss);
    if (h.gradient) chunk_gradient(h, scratch, index, rows);
  }
  if (token_loss.data() != nullptr) {
    const auto out = rows_of(token_loss);
    const int32_t* index = scratch.index;
    const double* loss = scratch.loss;
    map(h.s, "head_loss", count,
        [=] __device__(int64_t r) { *out[index[r]] = static_cast<Real>(loss[index[r]]); });
  }
  std::vector<double> losses(static_cast<size_t>(tokens));
  read_back(h.s, scratch.loss, losses.data(), tokens);
  HeadLoss total{.loss_sum = 0, .tokens = count};
  for (const int32_t t : valid) total.loss_sum += losses[static_cast<size_t>(t)];
  return total;
}

}  // namespace

HeadLoss head_loss(Stream& s, const HeadOptions& options, View<const Real> x, View<const Real> w,
                   View<const int32_t> targets, View<Real> token_loss) {
  return run({.s = s,
              .options = options,
              .x = x,
              .w = w,
              .targets = targets,
              .gradient = false,
              .gradient_scale = 0,
              .dx = {},
              .dw = {}},
             token_loss);
}

HeadLoss head_loss_and_gradient(Stream& s, const HeadOptions& options, Real gradient_scale,
                                View<const Real> x, View<const Real> w, View<const int32_t> targets,
                                View<Real> dx, View<Real> dw) {
  return run({.s = s,
              .options = options,
              .x = x,
              .w = w,
              .targets = targets,
              .gradient = true,
              .gradient_scale = gradient_scale,
              .dx = dx,
              .dw = dw},
             {});
}

}  // namespace hecate::kernels::cuda
