#include "launcher/run/load_trace_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launcher {
namespace {

using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LoadTraceWriterTest : public ::testing::Test {
 protected:
  LoadTraceWriterTest() : path_(scratch_ / "loads.npy") {}

  template <class T>
  std::vector<int64_t> values() const {
    const io::NpyFile file(path_);
    const auto found = file.values<T>();
    return {found.begin(), found.end()};
  }

  const LoadTraceShape shape_{.ranks = 2, .layers = 1, .experts = 2, .tokens = 100};
  ScratchDirectory scratch_;
  std::filesystem::path path_;
};

TEST_F(LoadTraceWriterTest, WritesStepRankLayerExpert) {
  {
    LoadTraceWriter writer(path_, shape_, 0);
    writer.append(std::vector<int64_t>{1, 2, 3, 4});
    writer.append(std::vector<int64_t>{100, 0, 0, 100});
  }
  EXPECT_EQ(io::NpyFile(path_).type(), "<u2");
  EXPECT_THAT(io::NpyFile(path_).shape(), ElementsAre(2, 2, 1, 2));
  EXPECT_THAT(values<uint16_t>(), ElementsAre(1, 2, 3, 4, 100, 0, 0, 100));
}

TEST_F(LoadTraceWriterTest, ManyTokensNeed32Bits) {
  {
    LoadTraceWriter writer(path_, {.ranks = 1, .layers = 1, .experts = 2, .tokens = 65536}, 0);
    writer.append(std::vector<int64_t>{65536, 7});
  }
  EXPECT_EQ(io::NpyFile(path_).type(), "<u4");
  EXPECT_THAT(values<uint32_t>(), ElementsAre(65536, 7));
  const LoadTraceWriter narrow(scratch_ / "b.npy",
                               {.ranks = 1, .layers = 1, .experts = 2, .tokens = 65535}, 0);
  EXPECT_EQ(io::NpyFile(scratch_ / "b.npy").type(), "<u2");
}

TEST_F(LoadTraceWriterTest, AResumeDropsLaterStepsAndAddsMissingOnesAsZeros) {
  const std::vector<int64_t> one = {1, 1, 1, 1}, two = {2, 2, 2, 2};
  {
    LoadTraceWriter writer(path_, shape_, 0);
    writer.append(one);
    writer.append(one);
  }
  {
    LoadTraceWriter writer(path_, shape_, 1);
    EXPECT_EQ(writer.missing(), 0);
    writer.append(two);
  }
  EXPECT_THAT(values<uint16_t>(), ElementsAre(1, 1, 1, 1, 2, 2, 2, 2));
  LoadTraceWriter writer(path_, shape_, 3);
  EXPECT_EQ(writer.missing(), 1);
  EXPECT_THAT(values<uint16_t>(), ElementsAre(1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0));
}

TEST_F(LoadTraceWriterTest, WhatDoesNotFitIsRefused) {
  LoadTraceWriter writer(path_, shape_, 0);
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              writer.append(std::vector<int64_t>{1, 2});
            }),
            "load trace: 2 counts, expected 2 ranks x 1 layers x 2 experts");
  EXPECT_EQ(message_of<InvalidArgument>([&] {
              writer.append(std::vector<int64_t>{1, 2, 3, 101});
            }),
            "load trace: a count of 101 of 100 tokens");
  EXPECT_THAT(message_of<InvalidArgument>([&] {
                LoadTraceWriter(path_, {.ranks = 4, .layers = 1, .experts = 2, .tokens = 100}, 0);
                LoadTraceWriter(path_, {.ranks = 2, .layers = 1, .experts = 2, .tokens = 100}, 1);
              }),
              HasSubstr("holds (0, 4, 1, 2) of <u2"));
}

}  // namespace
}  // namespace hecate::launcher
