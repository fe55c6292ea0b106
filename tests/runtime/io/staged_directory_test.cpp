#include "runtime/io/staged_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/io/file.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::io {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::message_of;
using testing::ScratchDirectory;

TEST(StagedDirectory, AppearsWhenPublished) {
  const ScratchDirectory scratch;
  const fs::path target = scratch / "a" / "set" / "";  // a slash at the end is no other directory
  {
    StagedDirectory staged(target);
    write_file(staged.path() / "file", "content");
    EXPECT_FALSE(fs::exists(scratch / "a/set"));
    staged.publish();
  }
  EXPECT_EQ(read_file(scratch / "a/set/file"), "content");
  EXPECT_FALSE(fs::exists(scratch / "a/set.partial"));
}

TEST(StagedDirectory, IsRemovedUnlessPublishedAndLeavesTheOldOne) {
  const ScratchDirectory scratch;
  fs::create_directory(scratch / "set");
  write_file(scratch / "set/file", "old");
  {
    const StagedDirectory staged(scratch / "set");
    write_file(staged.path() / "file", "new");
  }
  EXPECT_FALSE(fs::exists(scratch / "set.partial"));
  EXPECT_EQ(read_file(scratch / "set/file"), "old");
}

TEST(StagedDirectory, PublishingReplaces) {
  const ScratchDirectory scratch;
  fs::create_directory(scratch / "set");
  write_file(scratch / "set/old", "old");
  StagedDirectory staged(scratch / "set");
  write_file(staged.path() / "new", "new");
  staged.publish();
  EXPECT_FALSE(fs::exists(scratch / "set/old"));
  EXPECT_TRUE(fs::exists(scratch / "set/new"));
}

TEST(StagedDirectory, WhatACrashLeftIsCleared) {
  const ScratchDirectory scratch;
  fs::create_directory(scratch / "set.partial");
  write_file(scratch / "set.partial/torn", "torn");
  StagedDirectory staged(scratch / "set");
  staged.publish();
  EXPECT_TRUE(fs::is_empty(scratch / "set"));
}

TEST(StagedDirectory, AFileInTheWayIsAnError) {
  const ScratchDirectory scratch;
  write_file(scratch / "file", "");
  EXPECT_THROW(StagedDirectory(scratch / "file" / "set"), IoError);
}

TEST(RequireFree, TakesWhatIsAbsentOrEmptyOnly) {
  const ScratchDirectory scratch;
  EXPECT_NO_THROW(require_free(scratch / "none"));
  EXPECT_NO_THROW(require_free(scratch.path()));
  write_file(scratch / "file", "");
  EXPECT_THAT(message_of<InvalidArgument>([&] { require_free(scratch.path()); }),
              HasSubstr("exists and is not empty"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { require_free(scratch / "file"); }),
              HasSubstr("exists and is not a directory"));
}

}  // namespace
}  // namespace hecate::io
