#include "runtime/kernels/latent.h"

#include <algorithm>

#include "runtime/device/stream.h"
#include "runtime/kernels/cuda/kernels.h"

namespace hecate::kernels {
namespace {

struct Sizes {
  int64_t tokens, heads, nope, rope, value;
};

template <class Up, class Shared, class Keys, class Values>
Sizes check(const char* name, const View<Up>& up, const View<Shared>& shared,
            const View<Keys>& keys, const View<Values>& values) {
  const Sizes n{.tokens = up.dim(0),
                .heads = up.dim(1),
                .nope = keys.dim(2) - shared.dim(1),
                .rope = shared.dim(1),
                .value = values.dim(2)};
  HECATE_CHECK(up.shape() == (Shape{n.tokens, n.heads, n.nope + n.value}) &&
                   shared.dim(0) == n.tokens &&
                   keys.shape() == (Shape{n.tokens, n.heads, n.nope + n.rope}) &&
                   values.shape() == (Shape{n.tokens, n.heads, n.value}) && n.nope >= 0,
               name, ": up ", up.shape(), ", shared ", shared.shape(), ", keys ", keys.shape(),
               ", values ", values.shape());
  return n;
}

constexpr int64_t kGrain = 16;

}  // namespace

void latent_split(Stream& s, View<const Real> up, View<const Real> shared, View<Real> keys,
                  View<Real> values) {
  const Sizes n = check("latent_split", up, shared, keys, values);
  if (s.device() == DeviceKind::cuda) return cuda::latent_split(s, up, shared, keys, values);
  cpu_stream(s, "latent_split")
      .pool()
      .parallel_ranges(n.tokens, kGrain, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t)
          for (int64_t h = 0; h < n.heads; ++h) {
            const Real* in = up.row(t) + h * (n.nope + n.value);
            Real* key = keys.row(t) + h * (n.nope + n.rope);
            std::copy_n(in, n.nope, key);
            std::copy_n(shared.row(t), n.rope, key + n.nope);
            std::copy_n(in + n.nope, n.value, values.row(t) + h * n.value);
          }
      });
}

void latent_split_backward(Stream& s, View<const Real> dkeys, View<const Real> dvalues,
                           View<Real> dup, View<Real> dshared) {
  const Sizes n = check("latent_split_backward", dup, dshared, dkeys, dvalues);
  if (s.device() == DeviceKind::cuda)
    return cuda::latent_split_backward(s, dkeys, dvalues, dup, dshared);
  cpu_stream(s, "latent_split_backward")
      .pool()
      .parallel_ranges(n.tokens, kGrain, [&](int64_t begin, int64_t end, int) {
        for (int64_t t = begin; t < end; ++t) {
          std::fill_n(dshared.row(t), n.rope, Real{0});
          for (int64_t h = 0; h < n.heads; ++h) {
            const Real* key = dkeys.row(t) + h * (n.nope + n.rope);
            Real* out = dup.row(t) + h * (n.nope + n.value);
            std::copy_n(key, n.nope, out);
            std::copy_n(dvalues.row(t) + h * n.value, n.value, out + n.nope);
            for (int64_t i = 0; i < n.rope; ++i) dshared.row(t)[i] += key[n.nope + i];
          }
        }
      });
}

}  // namespace hecate::kernels
