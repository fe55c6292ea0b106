#include "collectives/nccl/host_ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hecate::collectives::nccl {
namespace {

using testing::ElementsAre;

const void* at(uintptr_t address) {
  return reinterpret_cast<const void*>(address);
}

TEST(HostRanges, MergesWhatTouchesAndKeepsDirectionsApart) {
  HostRanges ranges;
  ranges.add(at(1000), 100, true, false);
  ranges.add(at(1100), 50, false, true);
  ranges.add(at(1040), 80, true, true);
  ranges.add(at(9000), 0, true, true);
  ranges.add(at(5000), 8, false, true);
  ranges.finish();
  EXPECT_THAT(ranges.reads(), ElementsAre(HostRanges::Range{1000, 1120}));
  EXPECT_THAT(ranges.writes(),
              ElementsAre(HostRanges::Range{1040, 1150}, HostRanges::Range{5000, 5008}));
}

TEST(HostRanges, FindsEveryAddressAtItsAlignment) {
  HostRanges ranges;
  ranges.add(at(1000), 100, true, false);
  ranges.add(at(5004), 3000, true, true);
  ranges.finish();
  const int64_t first = ranges.offset_of(at(1000)), second = ranges.offset_of(at(5004));
  EXPECT_EQ(first % 256, 1000 % 256);
  EXPECT_EQ(second % 256, 5004 % 256);
  EXPECT_EQ(ranges.offset_of(at(1099)), first + 99);
  EXPECT_EQ(ranges.offset_of(at(8003)), second + 2999);
  EXPECT_GE(second, first + 100);
  EXPECT_GE(ranges.bytes(), second + 3000);
  for (uintptr_t address : {uintptr_t{0}, uintptr_t{999}, uintptr_t{1100}, uintptr_t{8004}})
    EXPECT_LT(ranges.offset_of(at(address)), 0) << address;
}

TEST(HostRanges, MayBeEmpty) {
  HostRanges ranges;
  ranges.finish();
  EXPECT_TRUE(ranges.empty());
  EXPECT_EQ(ranges.bytes(), 0);
  EXPECT_LT(ranges.offset_of(at(1)), 0);
}

}  // namespace
}  // namespace hecate::collectives::nccl
