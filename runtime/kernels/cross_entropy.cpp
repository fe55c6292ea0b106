#include "runtime/kernels/cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/isa.h"
#include "runtime/kernels/cpu/simd/elementwise.h"
#include "runtime/kernels/gemm.h"

namespace hecate::kernels {
namespace {

// Loss of one row; its logits become the gradient scale * (softmax - one-hot), or garbage.
double row_loss(Real* logits, int64_t vocabulary, int32_t target, bool gradient, Real scale) {
  if (target < 0) {
    if (gradient) std::fill_n(logits, vocabulary, Real{0});
    return 0;
  }
  const Real shift = HECATE_ISA_CALL(maximum, vocabulary, logits);
  const double picked = static_cast<double>(logits[target]) - static_cast<double>(shift);
  const Real sum = HECATE_ISA_CALL(exp_shifted, vocabulary, shift, logits);
  if (gradient) {
    HECATE_ISA_CALL(scale, vocabulary, scale / sum, logits);
    logits[target] -= scale;
  }
  return std::log(static_cast<double>(sum)) - picked;
}

void check(const char* name, const View<const Real>& x, const View<const Real>& w,
           const View<const int32_t>& targets) {
  HECATE_CHECK(x.dim(1) == w.dim(1) && targets.size() == x.rows(), name, ": x ", x.shape(), ", w ",
               w.shape(), ", targets ", targets.shape());
}

// Walks the rows in chunks: logits, loss, then `after(first row, gradient chunk)`.
template <class After>
HeadLoss walk(Stream& s, const HeadOptions& options, bool gradient, Real gradient_scale,
              View<const Real> x, View<const Real> w, View<const int32_t> targets,
              View<Real> token_loss, const After& after) {
  CpuStream& stream = cpu_stream(s, "head_loss");
  const int64_t vocabulary = w.dim(0);
  const int64_t chunk = std::min(options.chunk_rows, std::max<int64_t>(1, x.rows()));
  auto* logits = reinterpret_cast<Real*>(
      stream.workspace(static_cast<size_t>(chunk * vocabulary) * sizeof(Real) +
                       static_cast<size_t>(chunk) * sizeof(double) + sizeof(double)));
  auto* losses = reinterpret_cast<double*>(logits + (chunk * vocabulary + 1) / 2 * 2);
  HeadLoss total;
  for (int64_t first = 0; first < x.rows(); first += chunk) {
    const int64_t rows = std::min(chunk, x.rows() - first);
    const View<Real> block(logits, {rows, vocabulary});
    gemm(s, Transpose::no, Transpose::yes, options.logit_scale, x.rows(first, rows), w, 0, block);
    stream.pool().parallel_for(rows, [&](int64_t row, int) {
      const int32_t target = targets.data()[first + row];
      HECATE_CHECK(target < vocabulary, "head_loss: target ", target, " at ", first + row,
                   ", vocabulary ", vocabulary);
      losses[row] = row_loss(block.row(row), vocabulary, target, gradient, gradient_scale);
      if (token_loss.data() != nullptr)
        token_loss.data()[first + row] = static_cast<Real>(losses[row]);
    });
    for (int64_t row = 0; row < rows; ++row) {
      total.loss_sum += losses[row];
      total.tokens += targets.data()[first + row] >= 0 ? 1 : 0;
    }
    after(first, View<const Real>(block));
  }
  return total;
}

}  // namespace

HeadLoss head_loss(Stream& s, const HeadOptions& options, View<const Real> x, View<const Real> w,
                   View<const int32_t> targets, View<Real> token_loss) {
  check("head_loss", x, w, targets);
  HECATE_CHECK(token_loss.data() == nullptr || token_loss.size() == x.rows(),
               "head_loss: token_loss ", token_loss.shape(), " for ", x.rows(), " rows");
  return walk(s, options, false, 0, x, w, targets, token_loss, [](int64_t, View<const Real>) {});
}

HeadLoss head_loss_and_gradient(Stream& s, const HeadOptions& options, Real gradient_scale,
                                View<const Real> x, View<const Real> w, View<const int32_t> targets,
                                View<Real> dx, View<Real> dw) {
  check("head_loss_and_gradient", x, w, targets);
  HECATE_CHECK(dx.shape() == x.shape() && dw.shape() == w.shape(), "head_loss_and_gradient: dx ",
               dx.shape(), ", dw ", dw.shape());
  return walk(s, options, true, gradient_scale, x, w, targets, {},
              [&](int64_t first, View<const Real> dlogits) {
                const int64_t rows = dlogits.rows();
                gemm(s, Transpose::no, Transpose::no, options.logit_scale, dlogits, w, 0,
                     dx.rows(first, rows));
                gemm(s, Transpose::yes, Transpose::no, options.logit_scale, dlogits,
                     x.rows(first, rows), 1, dw);
              });
}

}  // namespace hecate::kernels
