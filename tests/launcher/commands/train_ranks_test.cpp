#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/launcher/commands/mpi_job.h"

/// Real ranks train what one process trains.
namespace hecate::launcher {
namespace {

class TrainRanksTest : public MpiJobTest {};

TEST_F(TrainRanksTest, ARunMovesFromTwoRanksToThreeToOne) {
  const std::string file = config("run.toml", {"train.steps=12", "train.eval_every=4"});
  ASSERT_EQ(run(program("train " + file + " --run " + at("alone"))).code, 0) << err();
  const std::string more = "train --resume --run " + at("moved") + " --set train.steps=";
  Outcome part = run(mpirun(2, "train " + file + " --run " + at("moved") + " --set train.steps=4"));
  ASSERT_EQ(part.code, 0) << part.err;
  EXPECT_EQ(occurrences(part.out, "held-out loss"), 1u) << part.out;
  part = run(mpirun(3, more + "8"));
  ASSERT_EQ(part.code, 0) << part.err;
  EXPECT_EQ(occurrences(part.err, "continuing from"), 1u) << part.err;
  ASSERT_EQ(run(program(more + "12")).code, 0) << err();
  expect_near(losses("moved"), losses("alone"));

  std::vector<std::string> evaluated;
  for (const char* name : {"alone", "moved"}) {
    const Outcome outcome = run(program("eval " + at(name)));
    ASSERT_EQ(outcome.code, 0) << outcome.err;
    evaluated.push_back(nlohmann::json::parse(outcome.out).at("eval_loss").dump());
  }
  expect_near({evaluated[1]}, {evaluated[0]});
}

TEST_F(TrainRanksTest, MoreRanksThanExpertsTrainToo) {
  const std::string file =
      config("run.toml", {"train.steps=4", "model.experts=3", "train.global_batch=10"});
  ASSERT_EQ(run(program("train " + file + " --run " + at("alone"))).code, 0) << err();
  for (const std::string strategy : {"fssdp", "ep"}) {
    const Outcome five =
        run(mpirun(5, "train " + file + " --run " + at(strategy) + " --set strategy=" + strategy));
    EXPECT_EQ(five.code, 0) << five.err;
    expect_near(losses(strategy), losses("alone"));
  }
}

TEST_F(TrainRanksTest, ADamagedCheckpointIsNamedOnceAndTheOneBeforeIsUsed) {
  namespace fs = std::filesystem;
  const std::string file =
      config("run.toml", {"train.steps=4", "checkpoint.every=2", "train.eval_every=0"});
  ASSERT_EQ(run(mpirun(2, "train " + file + " --run " + at("whole"))).code, 0) << err();
  const std::string kept = "/checkpoints/step-00000002", newest = "/checkpoints/step-00000004";
  const std::string shard = "/rank-0001.safetensors";
  for (const bool missing : {true, false}) {
    fs::remove_all(at("run"));
    fs::copy(at("whole"), at("run"), fs::copy_options::recursive);
    fs::remove(at("run") + newest + shard);
    if (!missing) fs::copy(at("run") + kept + shard, at("run") + newest + shard);
    const Outcome outcome =
        run(mpirun(3, "train --resume --run " + at("run") + " --set train.steps=3"));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(occurrences(outcome.err, at("run") + newest + " skipped: "), 1u) << outcome.err;
    EXPECT_EQ(occurrences(outcome.err, "rank-0001.safetensors"), 1u) << outcome.err;
    EXPECT_EQ(occurrences(outcome.err, "continuing from " + at("run") + kept), 1u) << outcome.err;
  }
}

}  // namespace
}  // namespace hecate::launcher
