#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "launcher/checkpoint/directory.h"
#include "launcher/train/branch.h"
#include "launcher/train/trainer.h"
#include "tests/launcher/train/rank_run.h"
#include "tests/launcher/train/tiny_run.h"
#include "tests/runtime/io/scratch.h"

/// Schedules in real runs: kept end points, releases branched off, batches that grow.
namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;
using hecate::testing::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A value of every step's line.
std::vector<double> logged(const fs::path& run, const char* key) {
  std::vector<double> values;
  std::ifstream file(run / "steps.jsonl");
  for (std::string line; std::getline(file, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json.contains("loss")) values.push_back(json[key]);
  }
  return values;
}

// Every file under a directory, with its size and its time of writing.
std::map<std::string, std::pair<uintmax_t, fs::file_time_type>> files_below(const fs::path& root) {
  std::map<std::string, std::pair<uintmax_t, fs::file_time_type>> files;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.is_regular_file())
      files[entry.path().string()] = {entry.file_size(), entry.last_write_time()};
  return files;
}

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

class ScheduleRunTest : public ::testing::Test {
 protected:
  fs::path at(const std::string& name) const { return run_.root() / name; }
  fs::path checkpoint_of(const std::string& name, int64_t step) const {
    return at(name) / "checkpoints" / checkpoint::step_name(step);
  }
  std::vector<std::string> release(const std::string& name, const Branch& branch) const {
    const RunDirectory directory = RunDirectory::create(at(name), config::to_toml(branch.config));
    start_branch(branch, directory);
    Trainer(branch.config, directory, true).run();
    return losses_in(directory.steps());
  }

  TinyRun run_;
};

const std::vector<std::string> kCycles = {"schedule.kind=wsd_s",
                                          "schedule.end_points=['5', '512 tokens', '12']",
                                          "schedule.decay=20%", "schedule.warmup=1"};

TEST_F(ScheduleRunTest, EndPointsAreKeptWhateverIsPruned) {
  auto settings = kCycles;
  settings.push_back("checkpoint.keep=1");
  run_.train("a", settings);
  EXPECT_THAT(names_in(at("a") / "checkpoints"), ElementsAre("decayed-00000005", "decayed-00000008",
                                                             "decayed-00000012", "step-00000012"));
  for (const int64_t step : {5, 8, 12}) {
    const fs::path kept = at("a") / "checkpoints" / checkpoint::decayed_name(step);
    EXPECT_THAT(checkpoint::verify(kept), ElementsAre());
    EXPECT_EQ(checkpoint::Checkpoint(kept).step(), step);
  }
  const auto rates = logged(at("a"), "lr");
  EXPECT_DOUBLE_EQ(rates[4], 0.1 * 0.01);  // the update that ends the cycle
  EXPECT_DOUBLE_EQ(rates[5], 0.01);        // back at the peak
  EXPECT_DOUBLE_EQ(rates[7], 0.1 * 0.01);
  EXPECT_DOUBLE_EQ(rates[11], 0.1 * 0.01);
}

TEST_F(ScheduleRunTest, ResumingAtAnEndPointKeepsItAndChangesNothing) {
  auto settings = kCycles;
  settings.insert(settings.end(), {"checkpoint.every=1", "checkpoint.keep=20"});
  const auto whole = run_.train("a", settings);
  const auto rates = logged(at("a"), "lr");
  for (const int64_t stop : {4, 5, 6}) {
    const fs::path checkpoints = at("a") / "checkpoints";
    checkpoint::remove_after(checkpoints, stop);
    for (const std::string& name : names_in(checkpoints))
      if (name.starts_with("decayed-")) fs::remove_all(checkpoints / name);
    EXPECT_EQ(run_.train("a", settings, true), whole) << stop;
    EXPECT_EQ(logged(at("a"), "lr"), rates) << stop;
    EXPECT_EQ(fs::exists(checkpoints / "decayed-00000005"), stop <= 5) << stop;
    EXPECT_TRUE(fs::exists(checkpoints / "decayed-00000008")) << stop;
  }
}

// The main run is one of 12 steps; its release from step 8 is the run of 10 steps that decays in
// the last two, bit for bit.
TEST_F(ScheduleRunTest, AReleaseIsTheRunThatWouldHaveDecayedThere) {
  for (const std::string kind : {"wsd", "constant", "power", "wsd_s"}) {
    const std::vector<std::string> same = {"schedule.kind=" + kind, "schedule.warmup=2",
                                           "schedule.rate=0.01", "schedule.floor_ratio=0"};
    auto main = same, direct = same;
    main.insert(main.end(), {"checkpoint.every=4", "checkpoint.keep=9"});
    if (kind == "wsd_s") main.push_back("schedule.floor_ratio=0.1");
    if (kind == "wsd_s") direct.push_back("schedule.floor_ratio=0.1");
    if (kind == "wsd_s") direct.push_back("schedule.decay_shape=inverse");
    direct.push_back(kind == "power" ? "schedule.kind=power" : "schedule.kind=wsd");
    direct.insert(direct.end(), {"train.steps=10", "schedule.decay=2"});
    run_.train("main-" + kind, main);
    const auto before = files_below(at("main-" + kind));
    const Branch branch = open_branch(checkpoint_of("main-" + kind, 8), "20%", {});
    EXPECT_EQ(branch.step, 8);
    EXPECT_EQ(branch.config.train.steps, 10);
    const auto tail = release("release-" + kind, branch);
    auto expected = run_.train("direct-" + kind, direct);
    expected.erase(expected.begin(), expected.begin() + 8);
    EXPECT_EQ(tail, expected) << kind;
    EXPECT_EQ(files_below(at("main-" + kind)), before) << kind;
  }
}

TEST_F(ScheduleRunTest, ABranchTakesItsLengthAndOverrides) {
  run_.train("main", {"schedule.kind=constant", "checkpoint.every=6"});
  const Branch tokens = open_branch(checkpoint_of("main", 6), "256 tokens",
                                    {"schedule.decay_shape=cosine", "schedule.floor_ratio=0.5"});
  EXPECT_EQ(tokens.config.train.steps, 10);
  EXPECT_EQ(tokens.config.schedule.decay_shape, "cosine");
  EXPECT_EQ(open_branch(at("main"), "3", {}).config.train.steps, 15);  // the newest checkpoint
}

TEST_F(ScheduleRunTest, WhatCannotBeBranchedFromIsRefused) {
  run_.train("wsd", {"schedule.kind=wsd", "schedule.decay=4", "checkpoint.every=1",
                     "checkpoint.keep=20", "schedule.warmup=3"});
  run_.train("cosine", {});
  const auto refusal = [&](const fs::path& path, const std::string& decay) {
    return message_of<Error>([&] { open_branch(path, decay, {}); });
  };
  EXPECT_THAT(refusal(checkpoint_of("wsd", 10), "10%"),
              HasSubstr("step 10 is not in the stable phase of its schedule: the rate there is "
                        "0.005, the stable one 0.01"));
  EXPECT_THAT(refusal(checkpoint_of("wsd", 2), "50%"), HasSubstr("schedule.warmup of 3 steps"));
  EXPECT_EQ(refusal(checkpoint_of("wsd", 8), "10%"), "(nothing thrown)");
  EXPECT_THAT(refusal(checkpoint_of("wsd", 8), "100%"), HasSubstr("less than the whole run"));
  EXPECT_THAT(refusal(checkpoint_of("wsd", 8), "0"), HasSubstr("less than a step"));
  EXPECT_THAT(refusal(checkpoint_of("wsd", 8), "a bit"), HasSubstr("--decay = 'a bit'"));
  EXPECT_THAT(refusal(at("cosine"), "10%"), HasSubstr("cosine has no stable phase"));
  EXPECT_THAT(refusal(at("nowhere"), "10%"), HasSubstr("neither a checkpoint nor a run"));
}

TEST_F(ScheduleRunTest, ADamagedCheckpointIsNoStartOfARelease) {
  run_.train("main", {"schedule.kind=constant"});
  const Branch branch = open_branch(at("main"), "2", {});
  for (const auto& file : fs::directory_iterator(branch.checkpoint))
    if (file.path().extension() == ".safetensors") fs::resize_file(file.path(), 100);
  const RunDirectory directory = RunDirectory::create(at("r"), config::to_toml(branch.config));
  EXPECT_THROW(start_branch(branch, directory), IoError);
}

const std::vector<std::string> kRamp = {
    "schedule.kind=power",
    "schedule.warmup=2",
    "schedule.rate=0.01",
    "train.micro_batch=2",
    "train.global_batch=4",
    "train.batch_ramp=[{steps=3, global_batch=2}, {steps=4, global_batch=6}]"};

TEST_F(ScheduleRunTest, ABatchRampSurvivesResuming) {
  auto settings = kRamp;
  settings.insert(settings.end(), {"checkpoint.every=1", "checkpoint.keep=20"});
  const auto whole = run_.train("a", settings);
  const auto rates = logged(at("a"), "lr"), tokens = logged(at("a"), "tokens");
  EXPECT_EQ(tokens[2], 3 * 2 * 16);
  EXPECT_EQ(tokens[6], (3 * 2 + 4 * 6) * 16);
  EXPECT_EQ(tokens[11], (3 * 2 + 4 * 6 + 5 * 4) * 16);
  for (const int64_t stop : {2, 3, 5, 7, 9}) {
    checkpoint::remove_after(at("a") / "checkpoints", stop);
    EXPECT_EQ(run_.train("a", settings, true), whole) << stop;
    EXPECT_EQ(logged(at("a"), "lr"), rates) << stop;
  }
}

TEST_F(ScheduleRunTest, AStageTrainsAsARunOfItsBatch) {
  const std::vector<std::string> plain = {"schedule.kind=constant", "schedule.warmup=0",
                                          "train.micro_batch=2"};
  auto small = plain, ramp = plain;
  small.push_back("train.global_batch=2");
  ramp.push_back("train.batch_ramp=[{steps=5, global_batch=2}]");
  auto expected = run_.train("small", small), found = run_.train("ramp", ramp);
  EXPECT_EQ(found[5] == expected[5], false);
  expected.resize(5);
  found.resize(5);
  EXPECT_EQ(found, expected);
}

TEST_F(ScheduleRunTest, ARampThatMicroBatchesDoNotDivideIsRefused) {
  const auto refusal = [&](const std::vector<std::string>& settings) {
    return message_of<InvalidArgument>([&] { run_.config(settings); });
  };
  EXPECT_THAT(refusal({"train.micro_batch=2", "train.batch_ramp=[{steps=3, global_batch=3}]"}),
              HasSubstr("a batch of 3 sequences is not a multiple of train.micro_batch = 2"));
  EXPECT_THAT(refusal({"train.micro_batch=2", "train.batch_ramp=[{steps=12, global_batch=2}]"}),
              HasSubstr("its stages are 12 steps long, the run (train.steps) has 12"));
}

// Steps of one and of two micro-batches, whose gradients replicas keep between them.
TEST_F(ScheduleRunTest, RanksTrainARampAsOneProcessDoes) {
  for (const char* strategy : {"fssdp", "fssdp-rm", "fsdp"}) {
    const RunConfig config =
        run_.config({concat("strategy=", strategy), "train.micro_batch=2", "train.global_batch=8",
                     "fssdp.overlap_degree=2", "fssdp.memory_capacity=2"});
    RankRunOptions options{.steps = 6, .rate = 1e-3};
    options.prepare = [](Engine& engine) { engine.set_global_batch(4); };
    options.after_step = [](Engine& engine, int64_t step) {
      engine.set_global_batch(step % 3 == 0 ? 4 : 8);
    };
    options.ranks = 2;
    const RankResult two = run_ranks(config, options);
    options.ranks = 1;
    const RankResult one =
        run_ranks(run_.config({"train.micro_batch=2", "train.global_batch=8"}), options);
    ASSERT_EQ(two.losses.size(), one.losses.size());
    for (size_t i = 0; i < one.losses.size(); ++i)
      EXPECT_NEAR(two.losses[i], one.losses[i], 1e-4 * one.losses[i]) << strategy << ' ' << i;
  }
}

TEST_F(ScheduleRunTest, ABatchThatRanksDoNotDivideIsRefused) {
  EXPECT_THROW(
      run_ranks(
          run_.config({"train.micro_batch=2", "train.global_batch=8"}),
          {.ranks = 2, .steps = 1, .prepare = [](Engine& engine) { engine.set_global_batch(6); }}),
      InvalidArgument);
}

}  // namespace
}  // namespace hecate::launcher
