#include "runtime/kernels/permute.h"

#include "tests/runtime/kernels/support.h"

namespace hecate::kernels {
namespace {

using namespace hecate::testing;  // NOLINT: the vocabulary of these tests

// A routing of `tokens` tokens with every seventh choice dropped, and its permutation.
struct Plan {
  Plan(int64_t tokens_in, int64_t top_k_in, int64_t experts_in)
      : tokens(tokens_in), top_k(top_k_in) {
    const CounterRng rng(5, 0);
    for (int64_t i = 0; i < tokens * top_k; ++i) {
      const auto e = static_cast<int32_t>(
          rng.below(static_cast<uint64_t>(i), static_cast<uint64_t>(experts_in)));
      experts.push_back(i % 7 == 3 ? -1 - e : e);
    }
    offsets.assign(static_cast<size_t>(experts_in) + 1, -5);
    row_of.assign(experts.size(), -5);
    choice_of.assign(experts.size(), -5);
    Device device;
    rows = plan_permutation(device.stream, {experts.data(), {tokens, top_k}}, offsets,
                            {row_of.data(), {tokens, top_k}}, {choice_of.data(), {tokens * top_k}});
  }
  View<const int32_t> row_of_view() const { return {row_of.data(), {tokens, top_k}}; }
  View<const int32_t> choice_of_view() const { return {choice_of.data(), {rows}}; }
  int64_t tokens, top_k, rows = 0;
  Buffer<int32_t> experts, row_of, choice_of;
  std::vector<int64_t> offsets;
};

TEST(PlanPermutation, SortsByExpertThenTokenThenChoice) {
  const Plan plan(50, 3, 6);
  EXPECT_EQ(plan.offsets.front(), 0);
  EXPECT_EQ(plan.offsets.back(), plan.rows);
  int64_t row = 0;
  for (int32_t e = 0; e < 6; ++e) {
    EXPECT_EQ(plan.offsets[static_cast<size_t>(e)], row);
    for (size_t i = 0; i < plan.experts.size(); ++i) {
      if (plan.experts[i] != e) continue;
      EXPECT_EQ(plan.row_of[i], row);
      EXPECT_EQ(plan.choice_of[static_cast<size_t>(row)], static_cast<int32_t>(i));
      ++row;
    }
  }
  EXPECT_EQ(row, plan.rows);
  for (size_t i = 0; i < plan.experts.size(); ++i)
    if (plan.experts[i] < 0) {
      EXPECT_EQ(plan.row_of[i], -1);
    }
}

TEST(PlanPermutation, NoTokensAndAllDropped) {
  Device device;
  std::vector<int64_t> offsets(4, -1);
  EXPECT_EQ(plan_permutation(device.stream, {nullptr, {0, 2}}, offsets, {nullptr, {0, 2}},
                             {nullptr, {0}}),
            0);
  EXPECT_EQ(offsets, std::vector<int64_t>(4, 0));
  const Buffer<int32_t> experts = {-1, -3};
  Buffer<int32_t> row_of(2), choice_of(2);
  EXPECT_EQ(plan_permutation(device.stream, {experts.data(), {1, 2}}, offsets,
                             {row_of.data(), {1, 2}}, {choice_of.data(), {2}}),
            0);
  EXPECT_EQ(row_of, (Buffer<int32_t>{-1, -1}));
}

TEST(PlanPermutation, RejectsUnknownExpertsAndShortBuffers) {
  Device device;
  const Buffer<int32_t> experts = {0, 3};
  Buffer<int32_t> row_of(2), choice_of(2);
  std::vector<int64_t> three(4), four(5);
  const auto call = [&](std::vector<int64_t>& offsets, int64_t choices) {
    plan_permutation(device.stream, {experts.data(), {1, 2}}, offsets, {row_of.data(), {1, 2}},
                     {choice_of.data(), {choices}});
  };
  EXPECT_THROW(call(three, 2), InvalidArgument);
  EXPECT_THROW(call(four, 1), InvalidArgument);
  EXPECT_NO_THROW(call(four, 2));
}

TEST(Permute, GathersRowsAndSumsGradients) {
  const Plan plan(31, 2, 5);
  Device device;
  const Matrix x = Matrix::normal(31, 19, 1, 1, 2);
  Matrix rows(plan.rows, 19, 1);
  permute(device.stream, x.cview(), 2, plan.choice_of_view(), rows.view());
  Reference want(plan.rows, 19);
  for (int64_t r = 0; r < plan.rows; ++r)
    for (int64_t d = 0; d < 19; ++d)
      want(r, d) = x.at(plan.choice_of[static_cast<size_t>(r)] / 2, d);
  expect_near(rows, want, 0);

  const Matrix drows = Matrix::normal(plan.rows, 19, 2);
  for (bool accumulate : {false, true}) {
    Matrix dx = accumulate ? Matrix::normal(31, 19, 8) : Matrix(31, 19, 3);
    Reference dwant = accumulate ? Reference(dx) : Reference(31, 19);
    for (int64_t r = 0; r < plan.rows; ++r)
      for (int64_t d = 0; d < 19; ++d)
        dwant(plan.choice_of[static_cast<size_t>(r)] / 2, d) += drows.at(r, d);
    permute_backward(device.stream, drows.cview(), plan.row_of_view(), dx.view(), accumulate);
    expect_near(dx, dwant, 3 * kElement);
  }
}

TEST(Unpermute, WeighsAndSums) {
  const Plan plan(31, 3, 5);
  Device device;
  const Matrix rows = Matrix::normal(plan.rows, 19, 1, 1, 1),
               weights = Matrix::normal(31, 3, 2, 1, 1);
  for (bool accumulate : {false, true}) {
    Matrix y = accumulate ? Matrix::normal(31, 19, 8) : Matrix(31, 19, 2);
    Reference want = accumulate ? Reference(y) : Reference(31, 19);
    for (int64_t r = 0; r < plan.rows; ++r) {
      const int64_t choice = plan.choice_of[static_cast<size_t>(r)];
      for (int64_t d = 0; d < 19; ++d)
        want(choice / 3, d) += weights.at(choice / 3, choice % 3) * rows.at(r, d);
    }
    unpermute(device.stream, rows.cview(), plan.row_of_view(), weights.cview(), y.view(),
              accumulate);
    expect_near(y, want, 4 * kElement);
  }
}

TEST(Unpermute, BackwardMatchesItsFormulaAndMayAlias) {
  const Plan plan(31, 3, 5);
  Device device;
  const Matrix rows = Matrix::normal(plan.rows, 19, 1), weights = Matrix::normal(31, 3, 2);
  const Matrix dy = Matrix::normal(31, 19, 3, 1, 2);
  Matrix drows(plan.rows, 19, 1), dweights(31, 3, 1), aliased = rows, aliased_dweights(31, 3, 1);
  unpermute_backward(device.stream, dy.cview(), rows.cview(), plan.row_of_view(),
                     plan.choice_of_view(), weights.cview(), drows.view(), dweights.view());
  Reference want(plan.rows, 19), dwant(31, 3);
  for (int64_t r = 0; r < plan.rows; ++r) {
    const int64_t choice = plan.choice_of[static_cast<size_t>(r)], t = choice / 3, k = choice % 3;
    for (int64_t d = 0; d < 19; ++d) {
      want(r, d) = weights.at(t, k) * dy.at(t, d);
      dwant(t, k) += dy.at(t, d) * rows.at(r, d);
    }
  }
  expect_near(drows, want, kElement);
  expect_near(dweights, dwant, 20 * kSum);
  unpermute_backward(device.stream, dy.cview(), aliased.cview(), plan.row_of_view(),
                     plan.choice_of_view(), weights.cview(), aliased.view(),
                     aliased_dweights.view());
  expect_near(aliased, want, kElement);
  EXPECT_TRUE(aliased_dweights.same_bits(dweights));
}

TEST(Unpermute, ThreadCountDoesNotChangeBits) {
  const Plan plan(101, 2, 5);
  const Matrix rows = Matrix::normal(plan.rows, 67, 1), weights = Matrix::normal(101, 2, 2);
  expect_same_bits_for_thread_counts([&](Stream& s) {
    Matrix y(101, 67);
    unpermute(s, rows.cview(), plan.row_of_view(), weights.cview(), y.view(), false);
    return y;
  });
}

TEST(Permute, RejectsWhatDoesNotFit) {
  const Plan plan(10, 2, 3);
  Device device;
  Matrix x(10, 4), rows(plan.rows, 4), narrow(plan.rows, 3), weights(10, 2), wrong(10, 3);
  EXPECT_THROW(permute(device.stream, x.cview(), 2, plan.choice_of_view(), narrow.view()),
               InvalidArgument);
  EXPECT_THROW(permute(device.stream, x.cview(), 2, plan.choice_of_view(), x.view()),
               InvalidArgument);
  EXPECT_THROW(permute_backward(device.stream, narrow.cview(), plan.row_of_view(), x.view(), false),
               InvalidArgument);
  EXPECT_THROW(
      unpermute(device.stream, rows.cview(), plan.row_of_view(), wrong.cview(), x.view(), false),
      InvalidArgument);
  EXPECT_THROW(
      unpermute_backward(device.stream, x.cview(), rows.cview(), plan.row_of_view(),
                         plan.choice_of_view(), weights.cview(), rows.view(), wrong.view()),
      InvalidArgument);
}

}  // namespace
}  // namespace hecate::kernels
