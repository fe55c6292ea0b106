#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>

#include "runtime/io/file.h"
#include "tests/runtime/io/scratch.h"

/// The program as a user meets it: what it prints where, and its exit code.
namespace hecate::launcher {
namespace {

using hecate::testing::ScratchDirectory;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

struct Outcome {
  int code = -1;
  std::string out, err;
};

class ProgramTest : public ::testing::Test {
 protected:
  Outcome run(const std::string& arguments) const {
    const std::string out = scratch_ / "out", err = scratch_ / "err";
    const std::string command = "cd " + scratch_.path().string() +
                                " && " HECATE_BINARY_DIR "/hecate " + arguments + " >" + out +
                                " 2>" + err;
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, io::read_file(out), io::read_file(err)};
  }

  ScratchDirectory scratch_;
};

TEST_F(ProgramTest, VersionHasALinePerFeature) {
  const Outcome outcome = run("--version");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(outcome.out, StartsWith("hecate "));
  for (const char* feature :
       {"\ncommit: ", "\nmpi: ", "\nnccl: ", "\ncuda: ", "\nblas: ", "\nisa: "})
    EXPECT_THAT(outcome.out, HasSubstr(feature));
}

TEST_F(ProgramTest, UnknownCommandFailsWithTheNearest) {
  const Outcome outcome = run("confg");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.out, IsEmpty());
  EXPECT_THAT(outcome.err, StartsWith("hecate: unknown command 'confg'; nearest: config"));
}

TEST_F(ProgramTest, ConfigPrintsWhatLoadsBack) {
  const Outcome first =
      run("config --preset tiny --set data.path=d --set device=paced --set device.pace_gflops=20");
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("d_model = 32\n"));
  EXPECT_THAT(first.out, HasSubstr("kind = \"paced\"\npace_gflops = 20.0\n"));
  io::write_file(scratch_ / "resolved.toml", first.out);
  EXPECT_EQ(run("config resolved.toml").out, first.out);
}

TEST_F(ProgramTest, PresetOptionWinsOverTheFile) {
  io::write_file(scratch_ / "a.toml", "[data]\npath = 'd'\n[model]\npreset = 'tiny'\nlayers = 3\n");
  const Outcome outcome = run("config --preset bench-step a.toml");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("d_model = 512\n"));
  EXPECT_THAT(outcome.out, HasSubstr("layers = 3\n"));
}

TEST_F(ProgramTest, BadConfigurationFailsWithPlaceAndExpectation) {
  io::write_file(scratch_ / "a.toml", "[data]\npath = 'd'\n[model]\nlaiers = 3\n");
  const Outcome unknown = run("config a.toml");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_EQ(unknown.err,
            "hecate: a.toml:4: model.laiers is an unknown key; nearest: model.layers\n");
  const Outcome typo = run("config --set trian.steps=3");
  EXPECT_EQ(typo.code, 2);
  EXPECT_THAT(typo.err, HasSubstr("nearest: train"));
  const Outcome missing = run("config none.toml");
  EXPECT_EQ(missing.code, 1);
  EXPECT_EQ(missing.err, "hecate: none.toml: open: No such file or directory\n");
}

TEST_F(ProgramTest, AFileWithoutDataIsRefused) {
  io::write_file(scratch_ / "a.toml", "seed = 1\n");
  const Outcome outcome = run("config a.toml");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("data.path"));
}

TEST_F(ProgramTest, ExplainDocumentsTheFixedNames) {
  const Outcome outcome = run("config --explain");
  EXPECT_EQ(outcome.code, 0);
  const std::string keys = run("config --keys").out;
  for (const char* key : {"seed",
                          "strategy",
                          "planner",
                          "train.steps",
                          "train.global_batch",
                          "train.micro_batch",
                          "model.preset",
                          "model.layers",
                          "model.d_model",
                          "model.heads",
                          "model.experts",
                          "model.top_k",
                          "model.expert_hidden",
                          "model.sequence",
                          "data.path",
                          "checkpoint.every",
                          "checkpoint.keep",
                          "router.source",
                          "schedule.kind",
                          "metrics.address",
                          "device.kind",
                          "device.pace_gflops"}) {
    EXPECT_THAT("\n" + keys, HasSubstr(std::string("\n") + key + ": "));
    const std::string name(key);
    EXPECT_THAT(outcome.out, HasSubstr("  " + name.substr(name.find('.') + 1) + " = "));
  }
}

TEST_F(ProgramTest, DataPrepareMakesADataSet) {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "a line of text, number " + std::to_string(i) + "\n";
  io::write_file(scratch_ / "text.txt", text);
  const Outcome outcome = run("data prepare text.txt --tokenizer byte --out set");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, StartsWith("set: "));
  EXPECT_THAT(outcome.out, HasSubstr("vocabulary 257 (byte)"));
  EXPECT_THAT(outcome.err, HasSubstr("encode: 100% of "));
  EXPECT_EQ(outcome.err.find('\r'), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(scratch_ / "set/dataset.json"));
  EXPECT_EQ(run("data prepare text.txt --tokenizer byte --out set").code, 2);
  EXPECT_EQ(run("data prepare text.txt --tokenizer byte --out set --overwrite").code, 0);
}

TEST_F(ProgramTest, DataPrepareNamesWhatIsWrong) {
  EXPECT_EQ(run("data prepare none.txt").err, "hecate: data prepare: --out DIR is required\n");
  const Outcome missing = run("data prepare none.txt --tokenizer byte --out set");
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, HasSubstr("none.txt"));
  const Outcome tokenizer = run("data prepare none.txt --tokenizer bite --out set");
  EXPECT_EQ(tokenizer.code, 2);
  EXPECT_THAT(tokenizer.err, HasSubstr("'byte'"));
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "set"));
}

TEST_F(ProgramTest, FlightNamesTheOddRank) {
  io::write_file(scratch_ / "flight-0.txt",
                 "flight 0 sparse 3 0-1 16 barrier 0 done 0.1 -\n"
                 "flight 0 sparse 3 0-1 17 all_reduce 4096 failed 1000.5 1\n");
  io::write_file(scratch_ / "flight-1.txt", "flight 1 sparse 3 0-1 16 barrier 0 done 0.1 -\n");
  const Outcome outcome = run("flight .");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("rank 0: operation 17 all_reduce, 4096 bytes, failed after "
                                     "1000.5 ms, waiting for rank 1\n"));
  EXPECT_THAT(outcome.out, HasSubstr("odd one out: rank 1, which has not called all_reduce "
                                     "(operation 17 of communicator 3, lane sparse)\n"));
  EXPECT_EQ(run("flight flight-1.txt").out, "every operation on record ended\n");
  EXPECT_EQ(run("flight nowhere").code, 1);
}

}  // namespace
}  // namespace hecate::launcher
