#include "runtime/kernels/cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/elementwise.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/gemm.h"
#include "runtime/memory/aligned.h"

namespace hecate::kernels {
namespace {

void check(const char* name, const HeadOptions& options, const View<const Real>& x,
           const View<const Real>& w, const View<const int32_t>& targets) {
  HECATE_CHECK(x.dim(1) == w.dim(1) && targets.size() == x.rows() && options.chunk_rows >= 1, name,
               ": x ", x.shape(), ", w ", w.shape(), ", targets ", targets.shape(), ", chunk_rows ",
               options.chunk_rows);
}

void check_targets(const char* name, const View<const Real>& w,
                   const View<const int32_t>& targets) {
  for (int64_t t = 0; t < targets.rows(); ++t)
    HECATE_CHECK(*targets.row(t) < w.dim(0), name, ": target ", *targets.row(t), " at ", t,
                 ", vocabulary ", w.dim(0));
}

// Loss of one row; with a gradient its logits become gradient_scale * (softmax - one-hot).
double row_loss(Real* logits, int64_t vocabulary, int32_t target, bool gradient,
                Real gradient_scale) {
  const Real shift = HECATE_ISA_CALL(maximum, vocabulary, logits);
  const double picked = static_cast<double>(logits[target]) - static_cast<double>(shift);
  if (!gradient)
    return std::log(static_cast<double>(HECATE_ISA_CALL(sum_of_exp, vocabulary, shift, logits))) -
           picked;
  const Real sum = HECATE_ISA_CALL(exp_shifted, vocabulary, shift, logits);
  HECATE_ISA_CALL(scale, vocabulary, gradient_scale / sum, logits);
  logits[target] -= gradient_scale;
  return std::log(static_cast<double>(sum)) - picked;
}

// The valid rows of a chunk. Where masked rows lie between them they are gathered, so that products
// spend nothing on masked rows (a masked language model has mostly those).
struct Chunk {
  int64_t rows = 0;
  bool gathered = false;
  int32_t* index = nullptr;  // token of each row
  double* loss = nullptr;
  Real* logits = nullptr;
  Real* x = nullptr;
  Real* dx = nullptr;

  Chunk(CpuStream& stream, int64_t capacity, int64_t width, int64_t vocabulary) {
    const auto bytes = [&](int64_t columns, size_t size) {
      return align_up(static_cast<size_t>(capacity * columns) * size);
    };
    std::byte* at =
        stream.workspace(bytes(1, sizeof(int32_t)) + bytes(1, sizeof(double)) +
                         bytes(vocabulary, sizeof(Real)) + 2 * bytes(width, sizeof(Real)));
    index = reinterpret_cast<int32_t*>(at);
    loss = reinterpret_cast<double*>(at += bytes(1, sizeof(int32_t)));
    logits = reinterpret_cast<Real*>(at += bytes(1, sizeof(double)));
    x = reinterpret_cast<Real*>(at += bytes(vocabulary, sizeof(Real)));
    dx = reinterpret_cast<Real*>(at + bytes(width, sizeof(Real)));
  }

  // Takes the next valid rows from token `next` on; returns the token after the last one looked at.
  int64_t take(const View<const int32_t>& targets, int64_t next, int64_t capacity) {
    rows = 0;
    for (; next < targets.rows() && rows < capacity; ++next)
      if (*targets.row(next) >= 0) index[rows++] = static_cast<int32_t>(next);
    gathered = rows > 0 && index[rows - 1] - index[0] != rows - 1;
    return next;
  }
};

// Walks the valid rows in chunks: logits, losses, then after(chunk, its rows of x, dlogits).
template <class After>
HeadLoss walk(Stream& s, const HeadOptions& options, bool gradient, Real gradient_scale,
              const View<const Real>& x, const View<const Real>& w,
              const View<const int32_t>& targets, const View<Real>& token_loss,
              const After& after) {
  CpuStream& stream = cpu_stream(s, "head_loss");
  const int64_t capacity = std::clamp<int64_t>(x.rows(), 1, options.chunk_rows);
  const int64_t width = x.dim(1), vocabulary = w.dim(0);
  Chunk chunk(stream, capacity, width, vocabulary);
  HeadLoss total;
  for (int64_t next = 0; (next = chunk.take(targets, next, capacity)), chunk.rows > 0;) {
    View<const Real> in;
    if (chunk.gathered) {
      for (int64_t r = 0; r < chunk.rows; ++r)
        std::copy_n(x.row(chunk.index[r]), width, chunk.x + r * width);
      in = View<const Real>(chunk.x, {chunk.rows, width});
    } else {
      in = x.rows(chunk.index[0], chunk.rows);
    }
    const View<Real> logits(chunk.logits, {chunk.rows, vocabulary});
    gemm(s, Transpose::no, Transpose::yes, options.logit_scale, in, w, 0, logits);
    stream.pool().parallel_for(chunk.rows, [&](int64_t r, int) {
      chunk.loss[r] = row_loss(logits.row(r), vocabulary, *targets.row(chunk.index[r]), gradient,
                               gradient_scale);
    });
    for (int64_t r = 0; r < chunk.rows; ++r) {
      total.loss_sum += chunk.loss[r];
      if (token_loss.data() != nullptr)
        *token_loss.row(chunk.index[r]) = static_cast<Real>(chunk.loss[r]);
    }
    total.tokens += chunk.rows;
    after(chunk, in, View<const Real>(logits));
  }
  return total;
}

}  // namespace

HeadLoss head_loss(Stream& s, const HeadOptions& options, View<const Real> x, View<const Real> w,
                   View<const int32_t> targets, View<Real> token_loss) {
  check("head_loss", options, x, w, targets);
  HECATE_CHECK(token_loss.data() == nullptr || token_loss.size() == x.rows(),
               "head_loss: token_loss ", token_loss.shape(), " for ", x.rows(), " rows");
  if (s.device() == DeviceKind::cuda) return cuda::head_loss(s, options, x, w, targets, token_loss);
  check_targets("head_loss", w, targets);
  if (token_loss.data() != nullptr)
    for (int64_t t = 0; t < x.rows(); ++t) *token_loss.row(t) = 0;
  return walk(s, options, false, 0, x, w, targets, token_loss,
              [](const Chunk&, const View<const Real>&, const View<const Real>&) {});
}

HeadLoss head_loss_and_gradient(Stream& s, const HeadOptions& options, Real gradient_scale,
                                View<const Real> x, View<const Real> w, View<const int32_t> targets,
                                View<Real> dx, View<Real> dw) {
  check("head_loss_and_gradient", options, x, w, targets);
  HECATE_CHECK(dx.shape() == x.shape() && dw.shape() == w.shape(), "head_loss_and_gradient: dx ",
               dx.shape(), ", dw ", dw.shape(), " for x ", x.shape(), ", w ", w.shape());
  if (s.device() == DeviceKind::cuda)
    return cuda::head_loss_and_gradient(s, options, gradient_scale, x, w, targets, dx, dw);
  check_targets("head_loss_and_gradient", w, targets);
  const int64_t width = x.dim(1);
  for (int64_t t = 0; t < x.rows(); ++t)
    if (*targets.row(t) < 0) std::fill_n(dx.row(t), width, Real{0});
  return walk(s, options, true, gradient_scale, x, w, targets, {},
              [&](const Chunk& chunk, const View<const Real>& in, const View<const Real>& dlogits) {
                const View<Real> out = chunk.gathered ? View<Real>(chunk.dx, {chunk.rows, width})
                                                      : dx.rows(chunk.index[0], chunk.rows);
                gemm(s, Transpose::no, Transpose::no, options.logit_scale, dlogits, w, 0, out);
                gemm(s, Transpose::yes, Transpose::no, options.logit_scale, dlogits, in, 1, dw);
                if (!chunk.gathered) return;
                for (int64_t r = 0; r < chunk.rows; ++r)
                  std::copy_n(out.row(r), width, dx.row(chunk.index[r]));
              });
}

}  // namespace hecate::kernels
