#pragma once
#include "runtime/kernels/activation.h"
#include "runtime/kernels/adamw.h"
#include "runtime/kernels/attention.h"
#include "runtime/kernels/cross_entropy.h"
#include "runtime/kernels/gemm.h"
#include "runtime/kernels/router.h"

/// The CUDA side of the kernels: signatures and contracts are those of the headers in the parent
/// folder, whose wrappers have checked shapes. Everything is enqueued on the stream; functions that
/// return a number or fill a host span wait for the stream. Sums have a fixed order, so equal
/// inputs give equal bits on equal devices. A build without CUDA has absent.cpp instead.
namespace hecate::kernels::cuda {

void fill(Stream& s, Real value, View<Real> x);
void copy(Stream& s, View<const Real> x, View<Real> y);
void add(Stream& s, Real alpha, View<const Real> x, View<Real> y);
void add_to(Stream& s, View<const Real> a, Real alpha, View<const Real> b, View<Real> out);
void scale(Stream& s, Real alpha, View<Real> x);
double sum_of_squares(Stream& s, View<const Real> x);
int64_t first_non_finite(Stream& s, View<const Real> x);
void dropout(Stream& s, Real rate, uint64_t seed, uint64_t stream, int64_t first_row,
             View<const Real> x, View<Real> y);
void embedding(Stream& s, View<const int32_t> ids, View<const Real> table, Real factor,
               View<Real> out);
void embedding_backward(Stream& s, View<const int32_t> ids, View<const Real> dy, Real factor,
                        View<Real> dtable);
/// @throws InvalidArgument naming the first of `ids` [T] or [T,K] that is >= limit, or < 0 unless
///   `negative` (a dropped choice -1 - e counts as e).
void check_ids(Stream& s, const char* name, View<const int32_t> ids, int64_t limit, bool negative);

void activation(Stream& s, Activation kind, View<const Real> x, View<Real> y);
void activation_backward(Stream& s, Activation kind, View<const Real> x, View<const Real> dy,
                         View<Real> dx);
void swiglu(Stream& s, View<const Real> gate, View<const Real> up, View<Real> out);
void swiglu_backward(Stream& s, View<const Real> gate, View<const Real> up, View<const Real> dout,
                     View<Real> dgate, View<Real> dup);

void rms_norm(Stream& s, View<const Real> x, View<const Real> gamma, Real eps, View<Real> y,
              View<Real> rstd);
void rms_norm_backward(Stream& s, View<const Real> x, View<const Real> gamma, View<const Real> rstd,
                       View<const Real> dy, View<Real> dx, bool accumulate, View<Real> dgamma);
void layer_norm(Stream& s, View<const Real> x, View<const Real> gamma, View<const Real> beta,
                Real eps, View<Real> y, View<Real> mean, View<Real> rstd);
void layer_norm_backward(Stream& s, View<const Real> x, View<const Real> gamma,
                         View<const Real> mean, View<const Real> rstd, View<const Real> dy,
                         View<Real> dx, bool accumulate, View<Real> dgamma, View<Real> dbeta);

void rope_table(Stream& s, double theta, View<Real> table);
void rope(Stream& s, View<Real> x, View<const int32_t> positions, View<const Real> table,
          bool inverse);
void latent_split(Stream& s, View<const Real> up, View<const Real> shared, View<Real> keys,
                  View<Real> values);
void latent_split_backward(Stream& s, View<const Real> dkeys, View<const Real> dvalues,
                           View<Real> dup, View<Real> dshared);
void cache_rows(Stream& s, View<const Real> x, View<const int32_t> positions, View<Real> cache);

void attention(Stream& s, const AttentionShape& shape, View<const Real> q, View<const Real> k,
               View<const Real> v, View<const int32_t> document_begin, View<Real> out,
               View<Real> lse);
void attention_backward(Stream& s, const AttentionShape& shape, View<const Real> q,
                        View<const Real> k, View<const Real> v, View<const int32_t> document_begin,
                        View<const Real> out, View<const Real> lse, View<const Real> dout,
                        View<Real> dq, View<Real> dk, View<Real> dv);
void attention_decode(Stream& s, Real scale, View<const Real> q, View<const Real> keys,
                      View<const Real> values, View<const int32_t> lengths, View<Real> out);

void route(Stream& s, Gate gate, View<const Real> logits, View<const Real> bias,
           View<Real> probabilities, View<int32_t> experts, View<Real> weights);
void route_given(Stream& s, Gate gate, View<const Real> logits, View<const int32_t> experts,
                 View<Real> probabilities, View<Real> weights);
void route_backward(Stream& s, Gate gate, View<const Real> logits, View<const Real> probabilities,
                    View<const int32_t> experts, View<const Real> dweights,
                    View<const Real> dprobabilities, Real z_scale, View<Real> dlogits);
double router_statistics(Stream& s, View<const Real> logits, View<const Real> probabilities,
                         View<Real> sums);
void router_jitter(Stream& s, Real amount, uint64_t seed, uint64_t stream, int64_t first_row,
                   View<Real> logits);
void count_experts(Stream& s, View<const int32_t> experts, std::span<int64_t> counts);
int64_t drop_over_capacity(Stream& s, int64_t capacity, std::span<int64_t> taken,
                           View<int32_t> experts);

int64_t plan_permutation(Stream& s, View<const int32_t> experts, std::span<int64_t> offsets,
                         View<int32_t> row_of, View<int32_t> choice_of);
void permute(Stream& s, View<const Real> x, int64_t top_k, View<const int32_t> choice_of,
             View<Real> rows);
void permute_backward(Stream& s, View<const Real> drows, View<const int32_t> row_of, View<Real> dx,
                      bool accumulate);
void unpermute(Stream& s, View<const Real> rows, View<const int32_t> row_of,
               View<const Real> weights, View<Real> y, bool accumulate);
void unpermute_backward(Stream& s, View<const Real> dy, View<const Real> rows,
                        View<const int32_t> row_of, View<const int32_t> choice_of,
                        View<const Real> weights, View<Real> drows, View<Real> dweights);

void adamw(Stream& s, const AdamW& options, std::span<const AdamWPiece> pieces);

void gemm(Stream& s, Transpose transpose_a, Transpose transpose_b, Real alpha, View<const Real> a,
          View<const Real> b, Real beta, View<Real> c);
void grouped_linear(Stream& s, View<const Real> x, std::span<const int64_t> offsets,
                    const ExpertWeights& w, View<Real> y);
void grouped_linear_backward_input(Stream& s, View<const Real> dy, std::span<const int64_t> offsets,
                                   const ExpertWeights& w, View<Real> dx);
void grouped_linear_backward_weight(Stream& s, View<const Real> dy, View<const Real> x,
                                    std::span<const int64_t> offsets, const ExpertGradients& dw,
                                    bool accumulate);

HeadLoss head_loss(Stream& s, const HeadOptions& options, View<const Real> x, View<const Real> w,
                   View<const int32_t> targets, View<Real> token_loss);
HeadLoss head_loss_and_gradient(Stream& s, const HeadOptions& options, Real gradient_scale,
                                View<const Real> x, View<const Real> w, View<const int32_t> targets,
                                View<Real> dx, View<Real> dw);

}  // namespace hecate::kernels::cuda
