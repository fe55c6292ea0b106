#include "launcher/launch/rank_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hecate::launch {
namespace {

using ::testing::ElementsAre;

// What comes out when the text arrives in pieces of `piece` bytes.
std::vector<std::string> lines(Starter starter, std::string_view text, size_t piece) {
  std::vector<std::string> result;
  RankOutput output(starter, [&](std::string_view line) { result.emplace_back(line); });
  for (size_t at = 0; at < text.size(); at += piece) output.add(text.substr(at, piece));
  output.finish();
  return result;
}

class RankOutputTest : public ::testing::TestWithParam<size_t> {
 protected:
  std::vector<std::string> mpirun(std::string_view text) const {
    return lines(Starter::mpirun, text, GetParam());
  }
  std::vector<std::string> srun(std::string_view text) const {
    return lines(Starter::srun, text, GetParam());
  }
};

TEST_P(RankOutputTest, LinesStartWithTheirRank) {
  EXPECT_THAT(mpirun("[1,0]<stdout>:hello\n[17,12]<stderr>:two words\n[1,0]<stdout>:\n"),
              ElementsAre("[0] hello\n", "[12] two words\n", "[0] \n"));
}

TEST_P(RankOutputTest, PiecesOfALineArePutTogether) {
  EXPECT_THAT(mpirun("[1,0]<stdout>:be[1,1]<stdout>:other [1,0]<stdout>:gun\n[1,1]<stdout>:line\n"),
              ElementsAre("[0] begun\n", "[1] other line\n"));
}

TEST_P(RankOutputTest, TheStartersOwnWordsPass) {
  EXPECT_THAT(
      mpirun("-----\nmpirun noticed [n0:12] that [1,x] died\n[1,0]<stdout>:a[0]=[1,2]\n"),
      ElementsAre("-----\n", "mpirun noticed [n0:12] that [1,x] died\n", "[0] a[0]=[1,2]\n"));
}

TEST_P(RankOutputTest, WhatIsIncompleteComesAtTheEnd) {
  EXPECT_THAT(mpirun("[1,1]<stdout>:no break[1,0]<stdout>:nor here[1,0]<std"),
              ElementsAre("[0] nor here[1,0]<std\n", "[1] no break\n"));
}

TEST_P(RankOutputTest, SrunsLabels) {
  EXPECT_THAT(
      srun("0: hello\n 3: a: b\n12: \nsrun: error: 7: bad\n1: end"),
      ElementsAre("[0] hello\n", "[3] a: b\n", "[12] \n", "srun: error: 7: bad\n", "[1] end\n"));
}

INSTANTIATE_TEST_SUITE_P(Pieces, RankOutputTest, ::testing::Values(1, 2, 7, 1000),
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace hecate::launch
