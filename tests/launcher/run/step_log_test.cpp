#include "launcher/run/step_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launcher {
namespace {

using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::HasSubstr;

class StepLogTest : public ::testing::Test {
 protected:
  std::string content() const { return io::read_file(file_); }
  std::string after_resume(const std::string& before, int64_t step) const {
    io::write_file(file_, before);
    { StepLog log(file_, step); }
    return content();
  }

  ScratchDirectory scratch_;
  std::filesystem::path file_ = scratch_ / "steps.jsonl";
};

TEST_F(StepLogTest, LinesAreReadableWhileTheLogIsOpen) {
  StepLog log(file_, 0);
  log.append(R"({"step":1,"loss":2.5})");
  EXPECT_EQ(content(), "{\"step\":1,\"loss\":2.5}\n");
  log.append(R"({"step":2})");
  EXPECT_EQ(content(), "{\"step\":1,\"loss\":2.5}\n{\"step\":2}\n");
}

TEST_F(StepLogTest, ResumeDropsLinesAfterTheCheckpoint) {
  EXPECT_EQ(after_resume("{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"eval_loss\":1}\n{\"step\":3}\n"
                         "{\"step\":4}\n",
                         2),
            "{\"step\":1}\n{\"step\":2}\n{\"step\":2,\"eval_loss\":1}\n");
  StepLog log(file_, 2);
  log.append(R"({"step":3,"again":true})");
  EXPECT_THAT(content(), HasSubstr("\"eval_loss\":1}\n{\"step\":3,\"again\":true}\n"));
}

TEST_F(StepLogTest, StartingOverDropsEverything) {
  EXPECT_EQ(after_resume("{\"step\":1}\n{\"step\":2}\n", 0), "");
}

TEST_F(StepLogTest, ATornLastLineIsDropped) {
  EXPECT_EQ(after_resume("{\"step\":1}\n{\"step\":2,\"lo", 5), "{\"step\":1}\n");
  EXPECT_EQ(after_resume("{\"step\":1}\n{\"st\n", 5), "{\"step\":1}\n");
  EXPECT_EQ(after_resume(std::string("{\"step\":1}\n\0\0\0\0", 15), 5), "{\"step\":1}\n");
  EXPECT_EQ(after_resume("{\"st", 5), "");
}

TEST_F(StepLogTest, AMalformedLineBeforeTheLastIsNamed) {
  for (const char* bad : {"{\"stop\":2}", "{\"step\":2.5}", "[2]", "", "{\"step\":"}) {
    const std::string before = "{\"step\":1}\n" + std::string(bad) + "\n{\"step\":3}\n";
    EXPECT_EQ(message_of<InvalidArgument>([&] { after_resume(before, 5); }),
              file_.string() + ":2: expected a JSON object with an integer \"step\"");
    EXPECT_EQ(content(), before);
  }
}

TEST_F(StepLogTest, ALineWithABreakIsRefused) {
  StepLog log(file_, 0);
  EXPECT_THROW(log.append("{\"step\":\n1}"), InvalidArgument);
  EXPECT_EQ(content(), "");
}

TEST_F(StepLogTest, AnUnwritableFileIsNamedWithTheReason) {
  EXPECT_THAT(message_of<IoError>([&] { StepLog log(scratch_ / "missing/steps.jsonl", 0); }),
              HasSubstr("missing/steps.jsonl: open: "));
}

}  // namespace
}  // namespace hecate::launcher
