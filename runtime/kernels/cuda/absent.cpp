#include "runtime/base/error.h"
#include "runtime/kernels/cuda/kernels.h"

/// A build without CUDA makes no CUDA stream, so that nothing gets here.
namespace hecate::kernels::cuda {
namespace {

[[noreturn]] void absent() {
  throw DeviceError("this build has no CUDA kernels: configure with HECATE_WITH_CUDA=ON");
}

}  // namespace

void fill(Stream&, Real, View<Real>) {
  absent();
}
void copy(Stream&, View<const Real>, View<Real>) {
  absent();
}
void add(Stream&, Real, View<const Real>, View<Real>) {
  absent();
}
void add_to(Stream&, View<const Real>, Real, View<const Real>, View<Real>) {
  absent();
}
void scale(Stream&, Real, View<Real>) {
  absent();
}
double sum_of_squares(Stream&, View<const Real>) {
  absent();
}
int64_t first_non_finite(Stream&, View<const Real>) {
  absent();
}
void dropout(Stream&, Real, uint64_t, uint64_t, int64_t, View<const Real>, View<Real>) {
  absent();
}
void embedding(Stream&, View<const int32_t>, View<const Real>, Real, View<Real>) {
  absent();
}
void embedding_backward(Stream&, View<const int32_t>, View<const Real>, Real, View<Real>) {
  absent();
}
void check_ids(Stream&, const char*, View<const int32_t>, int64_t, bool) {
  absent();
}
void activation(Stream&, Activation, View<const Real>, View<Real>) {
  absent();
}
void activation_backward(Stream&, Activation, View<const Real>, View<const Real>, View<Real>) {
  absent();
}
void swiglu(Stream&, View<const Real>, View<const Real>, View<Real>) {
  absent();
}
void swiglu_backward(Stream&, View<const Real>, View<const Real>, View<const Real>, View<Real>,
                     View<Real>) {
  absent();
}
void rms_norm(Stream&, View<const Real>, View<const Real>, Real, View<Real>, View<Real>) {
  absent();
}
void rms_norm_backward(Stream&, View<const Real>, View<const Real>, View<const Real>,
                       View<const Real>, View<Real>, bool, View<Real>) {
  absent();
}
void layer_norm(Stream&, View<const Real>, View<const Real>, View<const Real>, Real, View<Real>,
                View<Real>, View<Real>) {
  absent();
}
void layer_norm_backward(Stream&, View<const Real>, View<const Real>, View<const Real>,
                         View<const Real>, View<const Real>, View<Real>, bool, View<Real>,
                         View<Real>) {
  absent();
}
void rope_table(Stream&, double, View<Real>) {
  absent();
}
void rope(Stream&, View<Real>, View<const int32_t>, View<const Real>, bool) {
  absent();
}
void latent_split(Stream&, View<const Real>, View<const Real>, View<Real>, View<Real>) {
  absent();
}
void latent_split_backward(Stream&, View<const Real>, View<const Real>, View<Real>, View<Real>) {
  absent();
}
void cache_rows(Stream&, View<const Real>, View<const int32_t>, View<Real>) {
  absent();
}
void attention(Stream&, const AttentionShape&, View<const Real>, View<const Real>, View<const Real>,
               View<const int32_t>, View<Real>, View<Real>) {
  absent();
}
void attention_backward(Stream&, const AttentionShape&, View<const Real>, View<const Real>,
                        View<const Real>, View<const int32_t>, View<const Real>, View<const Real>,
                        View<const Real>, View<Real>, View<Real>, View<Real>) {
  absent();
}
void attention_decode(Stream&, Real, View<const Real>, View<const Real>, View<const Real>,
                      View<const int32_t>, View<Real>) {
  absent();
}
void route(Stream&, Gate, View<const Real>, View<const Real>, View<Real>, View<int32_t>,
           View<Real>) {
  absent();
}
void route_given(Stream&, Gate, View<const Real>, View<const int32_t>, View<Real>, View<Real>) {
  absent();
}
void route_backward(Stream&, Gate, View<const Real>, View<const Real>, View<const int32_t>,
                    View<const Real>, View<const Real>, Real, View<Real>) {
  absent();
}
double router_statistics(Stream&, View<const Real>, View<const Real>, View<Real>) {
  absent();
}
void router_jitter(Stream&, Real, uint64_t, uint64_t, int64_t, View<Real>) {
  absent();
}
void count_experts(Stream&, View<const int32_t>, std::span<int64_t>) {
  absent();
}
int64_t drop_over_capacity(Stream&, int64_t, std::span<int64_t>, View<int32_t>) {
  absent();
}
int64_t plan_permutation(Stream&, View<const int32_t>, std::span<int64_t>, View<int32_t>,
                         View<int32_t>) {
  absent();
}
void permute(Stream&, View<const Real>, int64_t, View<const int32_t>, View<Real>) {
  absent();
}
void permute_backward(Stream&, View<const Real>, View<const int32_t>, View<Real>, bool) {
  absent();
}
void unpermute(Stream&, View<const Real>, View<const int32_t>, View<const Real>, View<Real>, bool) {
  absent();
}
void unpermute_backward(Stream&, View<const Real>, View<const Real>, View<const int32_t>,
                        View<const int32_t>, View<const Real>, View<Real>, View<Real>) {
  absent();
}
void adamw(Stream&, const AdamW&, std::span<const AdamWPiece>) {
  absent();
}
void gemm(Stream&, Transpose, Transpose, Real, View<const Real>, View<const Real>, Real,
          View<Real>) {
  absent();
}
void grouped_linear(Stream&, View<const Real>, std::span<const int64_t>, const ExpertWeights&,
                    View<Real>) {
  absent();
}
void grouped_linear_backward_input(Stream&, View<const Real>, std::span<const int64_t>,
                                   const ExpertWeights&, View<Real>) {
  absent();
}
void grouped_linear_backward_weight(Stream&, View<const Real>, View<const Real>,
                                    std::span<const int64_t>, const ExpertGradients&, bool) {
  absent();
}
HeadLoss head_loss(Stream&, const HeadOptions&, View<const Real>, View<const Real>,
                   View<const int32_t>, View<Real>) {
  absent();
}
HeadLoss head_loss_and_gradient(Stream&, const HeadOptions&, Real, View<const Real>,
                                View<const Real>, View<const int32_t>, View<Real>, View<Real>) {
  absent();
}

}  // namespace hecate::kernels::cuda
