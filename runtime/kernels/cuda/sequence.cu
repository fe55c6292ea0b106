#include <cmath>

#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/cuda/launch.cuh"

namespace hecate::kernels::cuda {

void rope_table(Stream& s, double theta, View<Real> table) {
  const auto out = rows_of(table);
  const int64_t size = table.dim(1), half = size / 2;
  map_rows(s, "rope_table", table.rows(), half, [=] __device__(int64_t p, int64_t i) {
    const double angle = static_cast<double>(p) *
                         std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(size));
    out[p][i] = static_cast<Real>(std::cos(angle));
    out[p][half + i] = static_cast<Real>(std::sin(angle));
  });
}

void rope(Stream& s, View<Real> x, View<const int32_t> positions, View<const Real> table,
          bool inverse) {
  const auto to = rows_of(x);
  const auto angles = rows_of(table);
  const int32_t* position = positions.data();
  const int64_t size = x.dim(2), half = size / 2;
  const Real sign = inverse ? Real(-1) : Real(1);
  map_rows(s, "rope", x.dim(0), x.dim(1) * half, [=] __device__(int64_t t, int64_t j) {
    const int64_t i = j % half;
    const Real* row = angles[position[t]];
    Real* pair = to[t] + j / half * size + i;
    const Real a = pair[0], b = pair[half], c = row[i], d = sign * row[half + i];
    pair[0] = a * c - b * d;
    pair[half] = b * c + a * d;
  });
}

void latent_split(Stream& s, View<const Real> up, View<const Real> shared, View<Real> keys,
                  View<Real> values) {
  const auto from = rows_of(up);
  const auto rotary = rows_of(shared);
  const auto key = rows_of(keys);
  const auto value = rows_of(values);
  const int64_t heads = up.dim(1), rope = shared.dim(1), nope = keys.dim(2) - rope,
                nv = values.dim(2), width = nope + rope + nv;
  map_rows(s, "latent_split", up.dim(0), heads * width, [=] __device__(int64_t t, int64_t j) {
    const int64_t h = j / width, i = j % width;
    const Real* in = from[t] + h * (nope + nv);
    if (i < nope)
      key[t][h * (nope + rope) + i] = in[i];
    else if (i < nope + rope)
      key[t][h * (nope + rope) + i] = rotary[t][i - nope];
    else
      value[t][h * nv + i - nope - rope] = in[i - rope];
  });
}

void latent_split_backward(Stream& s, View<const Real> dkeys, View<const Real> dvalues,
                           View<Real> dup, View<Real> dshared) {
  const auto key = rows_of(dkeys);
  const auto value = rows_of(dvalues);
  const auto to = rows_of(dup);
  const auto rotary = rows_of(dshared);
  const int64_t heads = dup.dim(1), rope = dshared.dim(1), nope = dkeys.dim(2) - rope,
                nv = dvalues.dim(2), width = nope + nv;
  map_rows(s, "latent_split_backward", dup.dim(0), heads * width + rope,
           [=] __device__(int64_t t, int64_t j) {
             if (j >= heads * width) {
               const int64_t i = j - heads * width;
               Real sum = 0;
               for (int64_t h = 0; h < heads; ++h) sum += key[t][h * (nope + rope) + nope + i];
               rotary[t][i] = sum;
               return;
             }
             const int64_t h = j / width, i = j % width;
             to[t][j] = i < nope ? key[t][h * (nope + rope) + i] : value[t][h * nv + i - nope];
           });
}

void cache_rows(Stream& s, View<const Real> x, View<const int32_t> positions, View<Real> cache) {
  const auto in = rows_of(x);
  const auto out = rows_of(cache);
  const int32_t* position = positions.data();
  const int64_t width = x.row_size();
  const int64_t sequence = std::max<int64_t>(1, x.dim(0) / cache.dim(0));
  map_rows(s, "cache_rows", x.dim(0), width, [=] __device__(int64_t t, int64_t i) {
    out[t / sequence][position[t] * width + i] = in[t][i];
  });
}

}  // namespace hecate::kernels::cuda
