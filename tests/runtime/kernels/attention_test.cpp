#include "runtime/kernels/attention.h"

#include <ostream>
#include <string>

#include "tests/runtime/kernels/support.h"

namespace hecate::testing {
namespace {

using kernels::AttentionShape;

struct Case {
  const char* name;
  int64_t sequences, sequence, heads, groups, n, nv;
  bool causal, documents;
  int64_t tokens() const { return sequences * sequence; }
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

// Documents of 1, 2, 3, ... tokens, cut at the ends of sequences.
Buffer<int32_t> documents_of(const Case& c) {
  Buffer<int32_t> begin;
  if (!c.documents) return begin;
  for (int64_t t = 0, start = 0, length = 1; t < c.tokens(); ++t) {
    if (t % c.sequence == 0 || t == start + length) {
      start = t;
      ++length;
    }
    begin.push_back(static_cast<int32_t>(start));
  }
  return begin;
}

bool sees(const Case& c, const Buffer<int32_t>& documents, int64_t query, int64_t key) {
  if (query / c.sequence != key / c.sequence || (c.causal && key > query)) return false;
  return documents.empty() ||
         documents[static_cast<size_t>(query)] == documents[static_cast<size_t>(key)];
}

// Everything that one call reads and writes; rows have gaps, as heads inside a wider projection do.
struct Problem {
  explicit Problem(const Case& c)
      : shape{.sequence = c.sequence, .causal = c.causal, .scale = Real(0.3)},
        documents(documents_of(c)),
        q(Matrix::normal(c.tokens(), c.heads * c.n, 1, 1, 5)),
        k(Matrix::normal(c.tokens(), c.groups * c.n, 2, 1, 5)),
        v(Matrix::normal(c.tokens(), c.groups * c.nv, 3, 1, 5)),
        dout(Matrix::normal(c.tokens(), c.heads * c.nv, 4, 1, 5)),
        out(c.tokens(), c.heads * c.nv, 5),
        lse(c.tokens(), c.heads),
        dq(c.tokens(), c.heads * c.n, 5),
        dk(c.tokens(), c.groups * c.n, 5),
        dv(c.tokens(), c.groups * c.nv, 5) {}

  template <class T = const Real>
  static View<T> heads(Matrix& m, int64_t count) {
    return {m.data(), {m.rows(), count, m.cols() / count}, m.view().row_stride()};
  }
  void run(const Case& c, Stream& s) {
    const View<const int32_t> begin = documents.empty()
                                          ? View<const int32_t>()
                                          : View<const int32_t>(documents.data(), {c.tokens()});
    kernels::attention(s, shape, heads(q, c.heads), heads(k, c.groups), heads(v, c.groups), begin,
                       heads<Real>(out, c.heads), lse.view());
    kernels::attention_backward(s, shape, heads(q, c.heads), heads(k, c.groups), heads(v, c.groups),
                                begin, heads(out, c.heads), lse.cview(), heads(dout, c.heads),
                                heads<Real>(dq, c.heads), heads<Real>(dk, c.groups),
                                heads<Real>(dv, c.groups));
  }

  AttentionShape shape;
  Buffer<int32_t> documents;
  Matrix q, k, v, dout, out, lse, dq, dk, dv;
};

// The definition in double precision, one T x T matrix per head.
struct Expected {
  Expected(const Case& c, const Problem& p)
      : q(p.q),
        k(p.k),
        v(p.v),
        out(p.q.rows(), c.heads * c.nv),
        lse(p.q.rows(), c.heads),
        dq(q.rows, q.cols),
        dk(k.rows, k.cols),
        dv(v.rows, v.cols) {
    for (int64_t h = 0; h < c.heads; ++h)
      for (int64_t t = 0; t < c.tokens(); ++t) row(c, p, h, t);
  }

  void row(const Case& c, const Problem& p, int64_t h, int64_t t) {
    const int64_t g = h / (c.heads / c.groups), first = t / c.sequence * c.sequence;
    const double scale = static_cast<double>(p.shape.scale);
    std::vector<double> weight(static_cast<size_t>(c.sequence), 0.0), dweight = weight;
    double sum = 0, inner = 0;
    for (int64_t j = 0; j < c.sequence; ++j) {
      if (!sees(c, p.documents, t, first + j)) continue;
      double score = 0;
      for (int64_t i = 0; i < c.n; ++i) score += q(t, h * c.n + i) * k(first + j, g * c.n + i);
      sum += weight[static_cast<size_t>(j)] = std::exp(scale * score);
    }
    lse(t, h) = std::log(sum);
    for (int64_t j = 0; j < c.sequence; ++j) {
      double& w = weight[static_cast<size_t>(j)];
      w /= sum;
      double& dw = dweight[static_cast<size_t>(j)];
      for (int64_t i = 0; i < c.nv; ++i) {
        out(t, h * c.nv + i) += w * v(first + j, g * c.nv + i);
        dv(first + j, g * c.nv + i) += w * p.dout.at(t, h * c.nv + i);
        dw += p.dout.at(t, h * c.nv + i) * v(first + j, g * c.nv + i);
      }
      inner += w * dw;
    }
    for (int64_t j = 0; j < c.sequence; ++j) {
      const auto at = static_cast<size_t>(j);
      const double dscore = scale * weight[at] * (dweight[at] - inner);
      for (int64_t i = 0; i < c.n; ++i) {
        dq(t, h * c.n + i) += dscore * k(first + j, g * c.n + i);
        dk(first + j, g * c.n + i) += dscore * q(t, h * c.n + i);
      }
    }
  }

  Reference q, k, v, out, lse, dq, dk, dv;
};

class AttentionTest : public ::testing::TestWithParam<Case> {};

TEST_P(AttentionTest, MatchesDoublePrecisionDefinition) {
  Device device;
  Problem problem(GetParam());
  problem.run(GetParam(), device.stream);
  const Expected want(GetParam(), problem);
  expect_near(problem.out, want.out, kChain, "out");
  expect_near(problem.lse, want.lse, kChain, "lse");
  expect_near(problem.dq, want.dq, kChain, "dq");
  expect_near(problem.dk, want.dk, kChain, "dk");
  expect_near(problem.dv, want.dv, kChain, "dv");
}

TEST_P(AttentionTest, GivesTheSameBitsForAnyThreadCount) {
  for (Matrix Problem::*result : {&Problem::out, &Problem::dq, &Problem::dk, &Problem::dv})
    expect_same_bits_for_thread_counts([&](Stream& s) {
      Problem problem(GetParam());
      problem.run(GetParam(), s);
      return problem.*result;
    });
}

// Lengths on both sides of the tiles' sizes: 12 and 96 rows, 256 and 512 keys.
INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionTest,
    ::testing::Values(Case{"OneToken", 3, 1, 2, 2, 8, 8, true, false},
                      Case{"Short", 2, 13, 3, 1, 5, 7, true, false},
                      Case{"ShortBothWays", 2, 13, 3, 3, 5, 7, false, false},
                      Case{"TileBorders", 1, 97, 2, 1, 16, 24, true, false},
                      Case{"BeyondOneChunk", 1, 530, 2, 2, 24, 16, true, false},
                      Case{"BeyondOneChunkBothWays", 1, 530, 2, 1, 17, 33, false, false},
                      Case{"Documents", 1, 300, 2, 1, 16, 16, true, true},
                      Case{"DocumentsBothWays", 2, 270, 2, 2, 16, 8, false, true}),
    ::testing::PrintToStringParamName());

}  // namespace
}  // namespace hecate::testing
