#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "launcher/checkpoint/directory.h"
#include "runtime/io/file.h"
#include "tests/launcher/checkpoint/state.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::checkpoint {
namespace {

namespace fs = std::filesystem;
using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

void overwrite(const fs::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

/// Saves steps 1 and 2 into each test's own directory.
class Damage : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::save_now(scratch_.path(), testing::small_model(), 1);
    newest_ = testing::save_now(scratch_.path(), testing::small_model(), 2);
  }

  /// The newest must be refused with a message that names `file`, and step 1 used.
  void expect_skipped(const std::string& file) {
    const Latest latest = find_latest(scratch_.path());
    ASSERT_TRUE(latest.checkpoint);
    EXPECT_EQ(latest.checkpoint->step, 1);
    EXPECT_THAT(latest.warnings,
                ElementsAre(AllOf(HasSubstr("step-00000002 skipped"), HasSubstr(file))));
  }

  ScratchDirectory scratch_;
  fs::path newest_;
};

TEST_F(Damage, WholeCheckpointsPassWithoutWarnings) {
  const Latest latest = find_latest(scratch_.path());
  EXPECT_EQ(latest.checkpoint.value().path, newest_);
  EXPECT_THAT(latest.warnings, IsEmpty());
  EXPECT_FALSE(find_latest(scratch_ / "nowhere").checkpoint);
}

TEST_F(Damage, EveryAlteredByteIsFound) {
  const CounterRng rng(23, 0);
  uint64_t draw = 0;
  for (const std::string name : {"rank-0000.safetensors", "manifest.json"}) {
    const std::string good = io::read_file(newest_ / name);
    for (int round = 0; round < 150; ++round) {
      std::string bad = good;
      const size_t at = rng.below(draw++, bad.size());
      bad[at] = static_cast<char>(bad[at] ^ static_cast<char>(1 + rng.below(draw++, 255)));
      overwrite(newest_ / name, bad);
      EXPECT_THAT(verify(newest_), Not(IsEmpty())) << name << " byte " << at;
    }
    overwrite(newest_ / name, good);
    EXPECT_THAT(verify(newest_), IsEmpty());
  }
}

TEST_F(Damage, EveryTruncationAndExtensionIsFound) {
  const CounterRng rng(29, 0);
  uint64_t draw = 0;
  for (const std::string name : {"rank-0000.safetensors", "manifest.json"}) {
    const std::string good = io::read_file(newest_ / name);
    for (int round = 0; round < 60; ++round) {
      overwrite(newest_ / name, good.substr(0, rng.below(draw++, good.size())));
      EXPECT_THAT(verify(newest_), Not(IsEmpty()));
    }
    expect_skipped(name);
    overwrite(newest_ / name, good + std::string(1, '\0'));
    expect_skipped(name);
    overwrite(newest_ / name, good.substr(0, good.size() - 1));
    expect_skipped(name);
    overwrite(newest_ / name, good);
  }
}

TEST_F(Damage, MissingFilesAreNamed) {
  fs::rename(newest_ / "rank-0000.safetensors", scratch_ / "aside");
  expect_skipped("rank-0000.safetensors: missing");
  const Checkpoint checkpoint(newest_);
  EXPECT_THAT(
      message_of<IoError>([&] { testing::load_whole(checkpoint, testing::small_model().front()); }),
      HasSubstr("step-00000002/rank-0000.safetensors: missing"));
  fs::rename(scratch_ / "aside", newest_ / "rank-0000.safetensors");
  fs::remove(newest_ / "manifest.json");
  expect_skipped("manifest.json");
  EXPECT_THAT(message_of<IoError>([&] { const Checkpoint opened(newest_); }),
              HasSubstr("manifest.json"));
}

TEST_F(Damage, FilesOfAnotherStepAreNamed) {
  fs::copy_file(scratch_ / "step-00000001/rank-0000.safetensors", newest_ / "rank-0000.safetensors",
                fs::copy_options::overwrite_existing);
  expect_skipped("rank-0000.safetensors: of step 1, but the manifest is of step 2");
  const Checkpoint checkpoint(newest_);
  EXPECT_THAT(message_of<InvalidArgument>(
                  [&] { testing::load_whole(checkpoint, testing::small_model().front()); }),
              AllOf(HasSubstr("rank-0000.safetensors"), HasSubstr("mixed")));
}

TEST_F(Damage, UnknownFormatVersionIsNamed) {
  std::string text = io::read_file(newest_ / "manifest.json");
  const std::string member = "\"version\": 1,";
  ASSERT_NE(text.find(member), std::string::npos);
  text.replace(text.find(member), member.size(), "\"version\": 2,");
  overwrite(newest_ / "manifest.json", text);
  expect_skipped("manifest.json: format version 2, this program reads version 1");
  EXPECT_THAT(message_of<InvalidArgument>([&] { const Checkpoint opened(newest_); }),
              HasSubstr("format version 2"));
}

TEST_F(Damage, OtherJsonIsNotAManifest) {
  for (const char* text : {"{}", "[]", "null", R"({"format": "other", "version": 1})"}) {
    overwrite(newest_ / "manifest.json", text);
    expect_skipped("manifest.json");
  }
}

TEST_F(Damage, SeveralProblemsAreCountedAndSeveralCheckpointsSkipped) {
  testing::save_now(scratch_.path(), testing::small_model(), 3);
  fs::remove(newest_ / "manifest.json");
  overwrite(scratch_ / "step-00000003/rank-0000.safetensors", "short");
  const Latest latest = find_latest(scratch_.path());
  EXPECT_EQ(latest.checkpoint.value().step, 1);
  EXPECT_THAT(latest.warnings, ElementsAre(HasSubstr("step-00000003"), HasSubstr("step-00000002")));
  fs::remove_all(scratch_ / "step-00000001");
  EXPECT_FALSE(find_latest(scratch_.path()).checkpoint);
}

}  // namespace
}  // namespace hecate::checkpoint
