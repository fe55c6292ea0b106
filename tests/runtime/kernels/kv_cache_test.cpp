#include "runtime/kernels/kv_cache.h"

#include "runtime/base/error.h"
#include "runtime/kernels/attention.h"
#include "tests/runtime/kernels/support.h"

namespace hecate::kernels {
namespace {

using hecate::testing::Device;
using hecate::testing::Matrix;

TEST(CacheRows, PutsEachTokenAtItsPositionAndTouchesNothingElse) {
  Device device;
  constexpr int64_t kSequences = 2, kCapacity = 5, kHeads = 3, kSize = 4, kTokens = 6;
  // Rows of a packed matrix, as keys are in front of values.
  Matrix packed = Matrix::normal(kTokens, kHeads * kSize, 1, 1, /*gap=*/7);
  const View<const Real> x(packed.data(), {kTokens, kHeads, kSize}, kHeads * kSize + 7);
  const hecate::testing::Buffer<int32_t> positions = {0, 4, 2, 1, 0, 3};
  Matrix cache(kSequences * kCapacity, kHeads * kSize);  // NaN
  cache_rows(device.stream, x, {positions.data(), {kTokens}},
             {cache.data(), {kSequences, kCapacity, kHeads, kSize}});
  std::vector<bool> written(static_cast<size_t>(kSequences * kCapacity), false);
  for (int64_t t = 0; t < kTokens; ++t) {
    const int64_t row = t / 3 * kCapacity + positions[static_cast<size_t>(t)];
    written[static_cast<size_t>(row)] = true;
    for (int64_t i = 0; i < kHeads * kSize; ++i) EXPECT_EQ(cache(row, i), packed(t, i));
  }
  for (int64_t row = 0; row < kSequences * kCapacity; ++row) {
    if (written[static_cast<size_t>(row)]) continue;
    for (int64_t i = 0; i < kHeads * kSize; ++i) EXPECT_TRUE(std::isnan(cache(row, i)));
  }
}

TEST(CacheRows, RefusesWhatDoesNotFit) {
  Device device;
  Matrix x = Matrix::normal(2, 4, 1), cache(6, 4);
  const auto put = [&](hecate::testing::Buffer<int32_t> positions, Shape shape) {
    cache_rows(device.stream, View<const Real>(x.data(), {2, 2, 2}),
               {positions.data(), {static_cast<int64_t>(positions.size())}}, {cache.data(), shape});
  };
  EXPECT_NO_THROW(put({0, 2}, {2, 3, 2, 2}));
  EXPECT_THROW(put({0, 3}, {2, 3, 2, 2}), InvalidArgument);
  EXPECT_THROW(put({-1, 0}, {2, 3, 2, 2}), InvalidArgument);
  EXPECT_THROW(put({0}, {2, 3, 2, 2}), InvalidArgument);
  EXPECT_THROW(put({0, 1}, {2, 3, 1, 4}), InvalidArgument);
  EXPECT_THROW(put({0, 1}, {3, 2, 2, 2}), InvalidArgument);
}

// Every query of a sequence is what the whole sequence's attention gives for it.
TEST(AttentionDecode, EqualsCausalAttentionAtEachLength) {
  Device device;
  constexpr int64_t kSequences = 2, kCapacity = 11, kHeads = 6, kGroups = 2, kSize = 5, kValue = 3;
  constexpr int64_t kTokens = kSequences * kCapacity;
  Matrix q = Matrix::normal(kTokens, kHeads * kSize, 1),
         k = Matrix::normal(kTokens, kGroups * kSize, 2),
         v = Matrix::normal(kTokens, kGroups * kValue, 3);
  Matrix whole(kTokens, kHeads * kValue), lse(kTokens, kHeads);
  const Real scale = Real(0.4);
  attention(device.stream, {.sequence = kCapacity, .causal = true, .scale = scale},
            View<const Real>(q.data(), {kTokens, kHeads, kSize}),
            View<const Real>(k.data(), {kTokens, kGroups, kSize}),
            View<const Real>(v.data(), {kTokens, kGroups, kValue}), {},
            {whole.data(), {kTokens, kHeads, kValue}}, lse.view());
  for (int32_t length = 1; length <= kCapacity; ++length) {
    // The second sequence is shorter; what lies behind it must not be seen.
    const hecate::testing::Buffer<int32_t> lengths = {length, (length + 1) / 2};
    Matrix queries(kSequences, kHeads * kSize), out(kSequences, kHeads * kValue);
    for (int64_t b = 0; b < kSequences; ++b)
      std::copy_n(&q(b * kCapacity + lengths[static_cast<size_t>(b)] - 1, 0), kHeads * kSize,
                  &queries(b, 0));
    attention_decode(device.stream, scale,
                     View<const Real>(queries.data(), {kSequences, kHeads, kSize}),
                     View<const Real>(k.data(), {kSequences, kCapacity, kGroups, kSize}),
                     View<const Real>(v.data(), {kSequences, kCapacity, kGroups, kValue}),
                     {lengths.data(), {kSequences}}, {out.data(), {kSequences, kHeads, kValue}});
    for (int64_t b = 0; b < kSequences; ++b)
      for (int64_t i = 0; i < kHeads * kValue; ++i)
        EXPECT_NEAR(out.at(b, i), whole.at(b * kCapacity + lengths[static_cast<size_t>(b)] - 1, i),
                    hecate::testing::kChain)
            << "length " << length << ", sequence " << b;
  }
}

TEST(AttentionDecode, LengthsOutsideTheCacheAreRefused) {
  Device device;
  Matrix q = Matrix::normal(1, 4, 1), k = Matrix::normal(3, 4, 2), out(1, 4);
  for (const int32_t length : {0, 4})
    EXPECT_THROW(attention_decode(device.stream, 1, View<const Real>(q.data(), {1, 1, 4}),
                                  View<const Real>(k.data(), {1, 3, 1, 4}),
                                  View<const Real>(k.data(), {1, 3, 1, 4}), {&length, {1}},
                                  {out.data(), {1, 1, 4}}),
                 InvalidArgument);
}

}  // namespace
}  // namespace hecate::kernels
