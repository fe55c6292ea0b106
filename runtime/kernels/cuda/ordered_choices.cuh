#pragma once
#include "runtime/kernels/cuda/launch.cuh"

/// Expert choices ranked in token order, then by k: what keeps rows and drops independent of how
/// tokens are spread.
namespace hecate::kernels::cuda {

// One block per expert walks all choices, a block's width at a time.
template <class F>
__global__ void ordered_choices_kernel(int64_t choices, int64_t top_k, Rows<const int32_t> experts,
                                       F f) {
  __shared__ int sums[kWarp];
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  const int64_t expert = blockIdx.x;
  int64_t before = 0;
  for (int64_t base = 0; base < choices; base += blockDim.x) {
    const int64_t c = base + threadIdx.x;
    const bool mine = c < choices && experts[c / top_k][c % top_k] == expert;
    const unsigned votes = __ballot_sync(kAllLanes, mine);
    __syncthreads();
    if (lane == 0) sums[warp] = __popc(votes);
    __syncthreads();
    int64_t rank = before + __popc(votes & ((1u << lane) - 1u));
    for (int w = 0; w < warps; ++w) {
      if (w < warp) rank += sums[w];
      before += sums[w];
    }
    if (mine) f(expert, c, rank);
  }
}

/// f(expert, choice, rank) for every choice c = t * K + k with 0 <= experts[t,k] < count, where
/// rank counts the earlier choices of the same expert.
template <class F>
void for_ordered_choices(Stream& s, const char* name, int64_t count, int64_t choices, int64_t top_k,
                         const Rows<const int32_t>& experts, const F& f) {
  launch(s, name, ordered_choices_kernel<F>, dim3(static_cast<unsigned>(count)), kThreads, choices,
         top_k, experts, f);
}

}  // namespace hecate::kernels::cuda
