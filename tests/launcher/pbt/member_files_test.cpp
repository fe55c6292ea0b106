#include "launcher/pbt/member_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <random>
#include <thread>

#include "launcher/checkpoint/directory.h"
#include "launcher/pbt/score.h"
#include "launcher/pbt/transfer.h"
#include "launcher/train/trainer.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "tests/launcher/train/tiny_run.h"

namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string bytes_of(const fs::path& checkpoint) {
  std::string all;
  for (const pbt::StoredFile& file : stored_files(checkpoint))
    all += file.name + io::read_file(checkpoint / file.name);
  return all;
}

class MemberFilesTest : public ::testing::Test {
 protected:
  MemberFilesTest() { run_.train("members/00.0", {"train.steps=2"}); }

  TinyRun run_;
  RunConfig config_ = run_.config();
  fs::path donor_ = run_.root() / "members/00.0";
  fs::path copy_ = run_.root() / "members/01.1";
};

TEST_F(MemberFilesTest, ACopyIsTheDonorsToTheByteAndSurvivesIt) {
  copy_member(donor_, 2, copy_, config_);
  const fs::path saved = copy_ / "checkpoints/step-00000002";
  EXPECT_EQ(bytes_of(saved), bytes_of(donor_ / "checkpoints/step-00000002"));
  fs::remove_all(donor_);
  EXPECT_THAT(checkpoint::verify(saved), IsEmpty());
}

TEST_F(MemberFilesTest, WhatIsMissingOrDamagedIsNotCopied) {
  EXPECT_THROW(copy_member(donor_, 3, copy_, config_), IoError);
  fs::rename(donor_ / "checkpoints/step-00000002", donor_ / "checkpoints/.tmp-step-00000003");
  EXPECT_THROW(copy_member(donor_, 3, copy_, config_), IoError);
  fs::rename(donor_ / "checkpoints/.tmp-step-00000003", donor_ / "checkpoints/step-00000002");
  std::fstream file(donor_ / "checkpoints/step-00000002/rank-0000.safetensors",
                    std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(5000);
  file.put('?');
  file.close();
  EXPECT_THROW(copy_member(donor_, 2, copy_, config_), IoError);
  EXPECT_FALSE(fs::exists(copy_));
}

TEST_F(MemberFilesTest, KilledInsideACopyNothingIsThereOrAllOfIt) {
  std::mt19937 random(4);
  int whole = 0, none = 0;
  for (int attempt = 0; attempt < 40; ++attempt) {
    fs::remove_all(copy_);
    const pid_t child = fork();
    if (child == 0) {
      copy_member(donor_, 2, copy_, config_);
      _exit(0);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200 + random() % 12000));
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    if (fs::exists(copy_)) {
      ++whole;
      EXPECT_THAT(checkpoint::verify(copy_ / "checkpoints/step-00000002"), IsEmpty());
      EXPECT_TRUE(fs::exists(copy_ / "config.toml"));
    } else {
      ++none;
    }
  }
  EXPECT_EQ(whole + none, 40);
  EXPECT_GT(none, 0);
  copy_member(donor_, 2, copy_, config_);
  EXPECT_TRUE(fs::exists(copy_));
}

TEST_F(MemberFilesTest, StoreRefusesNamesThatLeadElsewhere) {
  MemberStore store(run_.root(), config_);
  for (const char* name : {"../x", "a/b", ".hidden", ""}) {
    EXPECT_THROW(store.write("members/00.0", 3, name, 0, "x"), InvalidArgument) << name;
    EXPECT_THROW(store.read("members/00.0", 2, name, 0, 1), InvalidArgument) << name;
    EXPECT_THROW(store.publish("members/00.0", 3, {{name, 1, 1}}), InvalidArgument) << name;
  }
}

TEST_F(MemberFilesTest, StorePublishesOnlyWhatArrivedWhole) {
  MemberStore store(run_.root(), config_);
  int64_t found = 0;
  const auto files = store.files("members/00.0", 2, found);
  ASSERT_EQ(found, 2);
  for (const pbt::StoredFile& file : files)
    store.write("members/02.0", 2, file.name, 0,
                store.read("members/00.0", 2, file.name, 0, file.bytes));
  std::vector<pbt::StoredFile> wrong = files;
  wrong[0].checksum ^= 1;
  EXPECT_THROW(store.publish("members/02.0", 2, wrong), IoError);
  EXPECT_FALSE(fs::exists(run_.root() / "members/02.0/checkpoints/step-00000002"));
  store.publish("members/02.0", 2, files);
  EXPECT_EQ(bytes_of(run_.root() / "members/02.0/checkpoints/step-00000002"),
            bytes_of(donor_ / "checkpoints/step-00000002"));
}

TEST_F(MemberFilesTest, OneWorkerAtATimeWritesAMember) {
  const MemberLock first(donor_, 0);
  EXPECT_THROW(MemberLock(donor_, 0.1), IoError);
  EXPECT_NO_THROW(MemberLock(copy_, 0.1));
}

TEST_F(MemberFilesTest, AnyNumberOfTheStepLogIsAScore) {
  const fs::path steps = donor_ / "steps.jsonl";
  EXPECT_GT(newest_metric(steps, "eval_loss"), 0);
  EXPECT_GT(newest_metric(steps, "load.0.entropy"), 0);
  try {
    newest_metric(steps, "eval_los");
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_THAT(error.what(), HasSubstr("nearest: eval_loss"));
  }
}

}  // namespace
}  // namespace hecate::launcher
