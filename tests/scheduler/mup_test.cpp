#include "scheduler/mup.h"

#include <gtest/gtest.h>

namespace hecate::scheduler {
namespace {

MupConfig enabled(bool zero_head = true, bool couple_decay = false) {
  MupConfig config;
  config.enabled = true;
  config.zero_head = zero_head;
  config.couple_decay = couple_decay;
  return config;
}

// The rows of the table in mup.h at m = 4 and 49 layers.
TEST(MupRule, HiddenMatricesStartAndLearnByTheirFanIn) {
  const MupRule rule = mup_rule(enabled(), MupKind::hidden, 4, 49);
  EXPECT_DOUBLE_EQ(rule.init_std, 0.05);
  EXPECT_DOUBLE_EQ(rule.rate, 0.25);
  EXPECT_DOUBLE_EQ(rule.forward, 1);
}

TEST(MupRule, TheLastMatrixOfABranchCarriesItsMultiplier) {
  const MupRule rule = mup_rule(enabled(), MupKind::branch, 4, 49);
  EXPECT_DOUBLE_EQ(rule.init_std, 0.05);
  EXPECT_DOUBLE_EQ(rule.rate, 0.25);
  EXPECT_DOUBLE_EQ(rule.forward, 0.2);
}

TEST(MupRule, WhatIsReadOrAddedRowByRowLearnsAtTheFullRate) {
  for (const MupKind kind : {MupKind::embedding, MupKind::vector, MupKind::head}) {
    const MupRule rule = mup_rule(enabled(), kind, 4, 49);
    EXPECT_EQ(rule.rate, 1);
    EXPECT_EQ(rule.decay, 1);
  }
  EXPECT_EQ(mup_rule(enabled(), MupKind::embedding, 4, 49).init_std, 0.1);
  EXPECT_EQ(mup_rule(enabled(), MupKind::embedding, 4, 49).forward, 12);
  EXPECT_EQ(mup_rule(enabled(), MupKind::vector, 4, 49).forward, 1);
}

TEST(MupRule, TheHeadStartsAtZeroOrLikeTheEmbedding) {
  EXPECT_EQ(mup_rule(enabled(), MupKind::head, 4, 49).init_std, 0);
  EXPECT_EQ(mup_rule(enabled(false), MupKind::head, 4, 49).init_std, 0.1);
  EXPECT_EQ(mup_rule(enabled(), MupKind::head, 4, 49).forward, 0.25);
}

TEST(MupRule, DecayIsTheSameForAllMatricesUnlessCoupled) {
  for (const double m : {0.5, 1.0, 3.0, 64.0}) {
    const MupRule apart = mup_rule(enabled(), MupKind::hidden, m, 2);
    EXPECT_DOUBLE_EQ(apart.rate * apart.decay, 1);
    const MupRule coupled = mup_rule(enabled(true, true), MupKind::hidden, m, 2);
    EXPECT_DOUBLE_EQ(coupled.rate * coupled.decay, 1 / m);
  }
}

}  // namespace
}  // namespace hecate::scheduler
