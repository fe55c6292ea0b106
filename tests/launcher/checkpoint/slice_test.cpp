#include "launcher/checkpoint/slice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launcher/checkpoint/state.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::checkpoint {
namespace {

using hecate::testing::message_of;
using ::testing::HasSubstr;

TEST(Slice, KindsHaveNames) {
  for (const Kind kind : {Kind::parameter, Kind::master, Kind::first_moment, Kind::second_moment})
    EXPECT_EQ(parse_kind(name_of(kind)), kind);
  EXPECT_EQ(parse_kind("momentum"), std::nullopt);
}

/// Concatenating the boxes of a range in order gives the range.
TEST(Slice, RangesOfAFlatArrayBecomeBoxesInOrder) {
  const testing::LogicalTensor tensors[] = {{"scalar", Kind::master, DType::f32, {}},
                                            {"vector", Kind::master, DType::u16, {7}},
                                            {"matrix", Kind::master, DType::f32, {4, 5}},
                                            {"cube", Kind::master, DType::u8, {3, 2, 4}},
                                            {"four", Kind::master, DType::u8, {2, 3, 2, 2}}};
  for (const auto& tensor : tensors) {
    const testing::Bytes whole = testing::content_of(tensor, 1);
    const auto element = static_cast<int64_t>(size_of(tensor.dtype));
    for (int64_t begin = 0; begin <= tensor.shape.size(); ++begin)
      for (int64_t end = begin; end <= tensor.shape.size(); ++end) {
        const auto boxes =
            range_slices(tensor.name, tensor.kind, tensor.dtype, tensor.shape, begin, end);
        EXPECT_LE(boxes.size(), std::max<size_t>(1, 2 * tensor.shape.rank() - 1));
        testing::Bytes joined;
        for (const Slice& box : boxes) {
          check_slice(box);
          const auto part = testing::cut(whole, box);
          joined.insert(joined.end(), part.begin(), part.end());
        }
        const testing::Bytes expected(whole.begin() + begin * element,
                                      whole.begin() + end * element);
        ASSERT_EQ(joined, expected) << tensor.name << " [" << begin << "," << end << ")";
      }
  }
  EXPECT_THAT(message_of<InvalidArgument>([] {
                range_slices("w", Kind::parameter, DType::f32, {2, 2}, 3, 5);
              }),
              HasSubstr("[3,5) of 'w' [2,2]"));
}

TEST(Slice, RefusesBoxesOutsideTheTensor) {
  const auto refusal = [](std::vector<int64_t> offset, Shape shape) {
    return message_of<InvalidArgument>([&] {
      check_slice({"w", Kind::parameter, DType::f32, {4, 6}, std::move(offset), shape});
    });
  };
  EXPECT_THAT(refusal({0, 0}, {4}), HasSubstr("parameter 'w': slice shape [4]"));
  EXPECT_THAT(refusal({0}, {4, 6}), HasSubstr("1 offsets"));
  EXPECT_THAT(refusal({-1, 0}, {4, 6}), HasSubstr("[-1,3) on axis 0"));
  EXPECT_THAT(refusal({0, 1}, {4, 6}), HasSubstr("[1,7) on axis 1 of [4,6]"));
  EXPECT_THAT(refusal({0, 0}, {4, -1}), HasSubstr("axis 1"));
  EXPECT_THAT(refusal({0, 0}, {4, 6}), HasSubstr("nothing thrown"));
}

TEST(Slice, CopiesExactlyTheOverlap) {
  const CounterRng rng(5, 0);
  uint64_t draw = 0;
  for (const Shape& shape : {Shape{}, Shape{9}, Shape{5, 7}, Shape{3, 4, 5}, Shape{3, 2, 4, 3}}) {
    const testing::LogicalTensor tensor{"w", Kind::parameter, DType::u16, shape};
    const testing::Bytes whole = testing::content_of(tensor, 2);
    for (int round = 0; round < 40; ++round) {
      const auto from = testing::random_tiling(tensor, rng, draw);
      const auto to = testing::random_tiling(tensor, rng, draw);
      for (const Slice& target : to) {
        testing::Bytes bytes(target.bytes());
        int64_t copied = 0;
        for (const Slice& source : from) {
          const int64_t count =
              copy_overlap(source, testing::cut(whole, source).data(), target, bytes.data());
          EXPECT_EQ(count, overlap_size(source, target));
          copied += count;
        }
        ASSERT_EQ(copied, target.size());
        ASSERT_EQ(bytes, testing::cut(whole, target));
      }
    }
  }
}

}  // namespace
}  // namespace hecate::checkpoint
