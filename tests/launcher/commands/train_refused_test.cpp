#include <gtest/gtest.h>

#include <filesystem>
#include <ostream>

#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "tests/launcher/commands/mpi_job.h"

/// Runs that cannot start: one rank says why, all end with the same code, nothing is left behind.
namespace hecate::launcher {
namespace {

// A shell line for a rank that leaves its exit code in `codes`, so that mpirun kills nobody.
const char* kRank = R"(sh -c '"$0" "$@"; echo $? >>codes' )" HECATE_BINARY_DIR "/hecate ";

struct Refusal {
  const char* name;
  std::vector<std::string> ranks;  ///< arguments of each
  std::string message;             ///< "{}" is the test's directory
  std::string code = "2";
};

void PrintTo(const Refusal& refusal, std::ostream* out) {
  *out << refusal.message;
}

class TrainRefusedTest : public MpiJobTest, public ::testing::WithParamInterface<Refusal> {
 protected:
  static std::string filled(std::string text, const std::string& root) {
    for (size_t at = 0; (at = text.find("{}")) != std::string::npos;) text.replace(at, 2, root);
    return text;
  }
};

TEST_P(TrainRefusedTest, OneRankSaysWhy) {
  const Refusal& refusal = GetParam();
  config("run.toml", {"train.steps=3"});
  std::string line = "mpirun";
  std::string codes;
  for (const std::string& arguments : refusal.ranks) {
    line += concat(line == "mpirun" ? " " : " : ", "-np 1 ", kRank, "train ", at("run.toml"),
                   " --run ", at("run"), ' ', filled(arguments, at("")));
    codes += refusal.code + "\n";
  }
  const Outcome outcome = run(line);
  const std::string message = "hecate: " + filled(refusal.message, at(""));
  EXPECT_EQ(occurrences(outcome.err, message), 1u) << outcome.err;
  EXPECT_EQ(occurrences(outcome.err, "hecate:"), 1u) << outcome.err;
  EXPECT_EQ(io::read_file(at("codes")), codes) << outcome.err;
  EXPECT_FALSE(exists("run"));
  EXPECT_TRUE(all_gone());
}

std::vector<std::string> all(size_t ranks, const std::string& arguments) {
  return std::vector<std::string>(ranks, arguments);
}

INSTANTIATE_TEST_SUITE_P(
    Causes, TrainRefusedTest,
    ::testing::Values(
        Refusal{"OtherConfiguration",
                {"", "", "--set train.steps=4"},
                "ranks were started with different configurations: train.steps = 3 on ranks 0, 1, "
                "4 on rank 2"},
        Refusal{"OtherNodes",
                {"--set cluster.ranks_per_node=1", "--set cluster.ranks_per_node=2"},
                "ranks were started with different configurations: cluster.ranks_per_node = 1 on "
                "rank 0, 2 on rank 1"},
        Refusal{"OtherChecks",
                {"", "--set cluster.check_calls=true"},
                "ranks were started with different configurations: cluster.check_calls = false on "
                "rank 0, true on rank 1"},
        Refusal{
            "OtherOptions",
            {"", "--trace steps=1..2"},
            "ranks were started with different configurations: --trace = (not given) on rank 0, "
            "steps=1..2 on rank 1"},
        Refusal{"UnknownKeyOfOneRank",
                {"", "--set train.stepz=4"},
                "rank 1: --set train.stepz=4: train.stepz is an unknown key; nearest: train.steps"},
        Refusal{"SingleStrategy", all(2, "--set strategy=single"),
                "strategy = single on 2 ranks: expected auto, fssdp, fssdp-rm, ep, fsdp, smartmoe"},
        Refusal{"UnevenNodes", all(3, "--set cluster.ranks_per_node=2"),
                "cluster.ranks_per_node = 2: does not divide 3 ranks; nearest valid: 1 or 3"},
        Refusal{"UnevenDomains", all(3, "--set fssdp.domain=2"), "fssdp.domain = 2: "},
        Refusal{"UnevenBatch", all(3, "--set train.global_batch=8 --set train.micro_batch=1"),
                "train.global_batch = 8 is not a multiple of train.micro_batch = 1 x 3 ranks; "
                "nearest: 9"},
        Refusal{"SmallBudget", all(2, "--set device.memory_gib=0.0001"),
                "device.memory_gib = 0.0001: a rank's own experts"},
        Refusal{"MissingRecord", all(2, "--set router.source=replay:{}none.npy"),
                "{}none.npy: open: No such file or directory", "1"},
        Refusal{"MissingData", all(2, "--set data.path={}none"),
                "{}none: open: No such file or directory", "1"}),
    [](const auto& instance) { return instance.param.name; });

class TrainStartTest : public MpiJobTest {
 protected:
  // Two ranks, each by a line of its own.
  Outcome run_two(const std::string& first, const std::string& second) {
    return run(concat("mpirun -np 1 ", first, " : -np 1 ", second));
  }
  void expect_refused(const Outcome& outcome, const std::string& message) const {
    EXPECT_NE(outcome.code, 0);
    EXPECT_EQ(occurrences(outcome.err, message), 1u) << outcome.err;
    EXPECT_EQ(occurrences(outcome.err, "hecate: "), 1u) << outcome.err;
    EXPECT_TRUE(all_gone());
  }
};

// mpirun ends all ranks as soon as one has failed; what it has not read by then is lost.
TEST_F(TrainStartTest, TheMessageIsThereEveryTime) {
  const std::string file = config("run.toml", {"train.micro_batch=1"});
  for (int i = 0; i < 3; ++i) {
    const Outcome outcome = run(mpirun(5, "train " + file + " --run " + at("run")));
    EXPECT_EQ(outcome.code, 2);
    expect_refused(outcome, "train.global_batch = 12 is not a multiple");
    EXPECT_FALSE(exists("run"));
  }
}

TEST_F(TrainStartTest, ARecordOfOtherRanksOrExpertsIsRefused) {
  const std::string file = config("run.toml", {"train.steps=2", "trace_loads=true"});
  ASSERT_EQ(run(mpirun(2, "train " + file + " --run " + at("recorded"))).code, 0) << err();
  const std::string record = at("recorded/loads.npy");
  const std::string replay =
      "train " + file + " --run " + at("run") + " --set router.source=replay:" + record;
  expect_refused(run(mpirun(3, replay)), record +
                                             ": replay: the trace has 2 ranks, which neither sum "
                                             "to 3 nor divide into them; nearest: 2 or 4");
  expect_refused(
      run(mpirun(2, replay + " --set model.experts=3")),
      record + ": replay: the trace has 4 experts, which do not sum to 3; nearest: 2 or 4");
  EXPECT_FALSE(exists("run"));
  EXPECT_EQ(run(mpirun(2, replay)).code, 0) << err();
}

TEST_F(TrainStartTest, OtherCodeForTheProcessorIsNamed) {
  const std::string train =
      HECATE_BINARY_DIR "/hecate train " + config("run.toml") + " --run " + at("run");
  expect_refused(run_two("env HECATE_ISA=avx2 " + train, "env HECATE_ISA=baseline " + train),
                 "ranks run different builds: isa = avx2 on rank 0, baseline on rank 1");
  EXPECT_FALSE(exists("run"));
}

// The second rank sees another file system than the first.
TEST_F(TrainStartTest, ARunDirectoryThatOneRankCannotUseIsRefused) {
  if (run("unshare -m true").code != 0) GTEST_SKIP() << "file systems of a rank's own need root";
  std::filesystem::create_directory(at("disk"));
  const std::string train =
      HECATE_BINARY_DIR "/hecate train " + config("run.toml") + " --run " + at("disk/run");
  const auto apart = [&](const std::string& mount) {
    return concat("unshare -m sh -c 'mount ", mount, "; exec ", train, "'");
  };
  expect_refused(run_two(train, apart("-o bind,ro " + at("disk") + " " + at("disk"))),
                 "rank 1: " + at("disk/run/logs"));
  expect_refused(run_two(train, apart("-t tmpfs none " + at("disk"))),
                 "rank 1: " + at("disk/run") + ": no such run directory");
  EXPECT_FALSE(exists("disk/run"));
}

}  // namespace
}  // namespace hecate::launcher
