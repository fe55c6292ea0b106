#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "launcher/checkpoint/directory.h"
#include "launcher/train/setup.h"
#include "launcher/train/trainer.h"
#include "models/summary.h"
#include "tests/launcher/train/tiny_run.h"

namespace hecate::launcher {
namespace {

using testing::HasSubstr;

class TrainerTest : public testing::Test {
 protected:
  TinyRun run_;
};

TEST_F(TrainerTest, LossFalls) {
  const auto losses = run_.train("a", {"train.steps=60"});
  ASSERT_EQ(losses.size(), 60u);
  EXPECT_LT(std::stod(losses.back()), 0.6 * std::stod(losses.front()));
}

TEST_F(TrainerTest, TwoRunsAreBitIdentical) {
  EXPECT_EQ(run_.train("a", {}), run_.train("b", {}));
}

TEST_F(TrainerTest, AnotherSeedGivesAnotherRun) {
  EXPECT_NE(run_.train("a", {}), run_.train("b", {"seed=7"}));
}

// Every variant whose state a checkpoint could miss.
class ResumeTest : public TrainerTest,
                   public testing::WithParamInterface<std::vector<std::string>> {};

TEST_P(ResumeTest, IsBitIdenticalToTheRunThatNeverStopped) {
  const auto whole = run_.train("whole", GetParam());
  for (const int stop : {1, 5, 11}) {
    const std::string name = "part" + std::to_string(stop);
    auto first = GetParam();
    // The schedule is that of the whole run: only the checkpoint's place differs.
    first.push_back("checkpoint.every=" + std::to_string(stop));
    first.push_back("checkpoint.keep=20");
    run_.train(name, first);
    const auto checkpoints = run_.root() / name / "checkpoints";
    checkpoint::remove_after(checkpoints, stop);
    EXPECT_EQ(run_.train(name, GetParam(), true), whole) << "stopped after " << stop;
  }
}

std::string resumed_name(const testing::TestParamInfo<std::vector<std::string>>& each) {
  const char* names[] = {"plain", "micro_batches", "bias", "rs2", "masked"};
  return names[each.index];
}

INSTANTIATE_TEST_SUITE_P(
    Variants, ResumeTest,
    testing::Values(
        std::vector<std::string>{},
        std::vector<std::string>{"train.micro_batch=2", "model.dropout=0.1", "router.jitter=0.05"},
        std::vector<std::string>{"model.gate=sigmoid_bias", "router.z_loss=0.01"},
        std::vector<std::string>{"data.sampler=rs2", "data.rs2_share=0.2", "model.recompute=all"},
        std::vector<std::string>{"model.objective=masked", "router.capacity_factor=0.8"}),
    resumed_name);

TEST_F(TrainerTest, MicroBatchesTrainTheSame) {
  const auto whole = run_.train("a", {}), parts = run_.train("b", {"train.micro_batch=1"});
  ASSERT_EQ(whole.size(), parts.size());
  for (size_t i = 0; i < whole.size(); ++i)
    EXPECT_NEAR(std::stod(whole[i]), std::stod(parts[i]), 1e-4) << i;
}

TEST_F(TrainerTest, StepsAllocateNothingAfterWarmUp) {
  const RunConfig config = run_.config({"train.micro_batch=2"});
  Engine engine(engine_options(config));
  const data::Loader loader(config.data, 1, config.model.vocabulary, config.model.sequence);
  const auto step = [&](int64_t i) {
    engine.load(loader, static_cast<uint64_t>(4 * i));
    return engine.train_step(i, 1e-3, std::numeric_limits<double>::infinity());
  };
  for (int64_t i = 0; i < 3; ++i) step(i);
  const int64_t allocations = engine.allocations();
  for (int64_t i = 3; i < 12; ++i) EXPECT_TRUE(step(i).updated);
  EXPECT_EQ(engine.allocations(), allocations);
}

TEST_F(TrainerTest, PeakBytesAreWhatTheSummaryPredicts) {
  for (const char* recompute : {"model.recompute=none", "model.recompute=all"}) {
    const RunConfig config =
        run_.config({recompute, "model.d_model=64", "model.sequence=64", "model.layers=3"});
    Engine engine(engine_options(config));
    const data::Loader loader(config.data, 1, config.model.vocabulary, config.model.sequence);
    for (int64_t i = 0; i < 2; ++i) {
      engine.load(loader, static_cast<uint64_t>(4 * i));
      engine.train_step(i, 1e-3, std::numeric_limits<double>::infinity());
    }
    const auto predicted = static_cast<double>(total(
        models::summarize(config.model, config.router, {.sequences = 4, .sequence = 64}).bytes));
    EXPECT_NEAR(static_cast<double>(engine.ledger().peak_total()), predicted, 0.1 * predicted)
        << recompute;
  }
}

TEST_F(TrainerTest, RecomputeSavesActivationMemory) {
  const auto bytes = [&](const char* recompute) {
    const RunConfig config = run_.config({recompute, "model.layers=6"});
    return models::summarize(config.model, config.router, {.sequences = 4, .sequence = 16})
        .bytes[static_cast<size_t>(MemoryCategory::activations)];
  };
  EXPECT_LT(bytes("model.recompute=all"), bytes("model.recompute=none") / 2);
}

TEST_F(TrainerTest, BudgetTooSmallIsRefusedBeforeTraining) {
  try {
    run_.train("a", {"device.memory_gib=0.0001"});
    FAIL();
  } catch (const DeviceError& error) {
    EXPECT_THAT(error.what(), HasSubstr("budget"));
    EXPECT_THAT(error.what(), HasSubstr("parameters"));
  }
}

TEST_F(TrainerTest, DivergenceStopsAndNamesStepAndTensor) {
  try {
    run_.train("a", {"schedule.rate=1e30", "schedule.warmup=0", "checkpoint.every=1"});
    FAIL();
  } catch (const NumericError& error) {
    EXPECT_THAT(error.what(), HasSubstr("step "));
    EXPECT_THAT(error.what(), HasSubstr("not finite"));
    EXPECT_THAT(error.what(), testing::ContainsRegex("layers.[0-9]+.|final_norm|embedding"));
    EXPECT_THAT(error.what(), HasSubstr("checkpoints/step-0000"));
  }
  EXPECT_TRUE(checkpoint::find_latest(run_.root() / "a" / "checkpoints").checkpoint);
}

TEST_F(TrainerTest, ALossThatIsNotFiniteNamesStepAndTensor) {
  try {
    run_.train("a", {"model.init_std=1e39"});
    FAIL();
  } catch (const NumericError& error) {
    EXPECT_THAT(error.what(), HasSubstr("step 1: the loss is not finite; the first tensor that is "
                                        "not is embedding; the last good checkpoint is none"));
  }
}

TEST_F(TrainerTest, ATensorInsideALayerIsFound) {
  const RunConfig config = run_.config({"train.micro_batch=2"});
  Engine engine(engine_options(config));
  const data::Loader loader(config.data, 1, config.model.vocabulary, config.model.sequence);
  for (const models::OwnedPiece& piece : engine.storage().pieces())
    if (engine.layout().spec(piece.id).name == "layers.1.attention.output")
      *piece.value = std::numeric_limits<Real>::infinity();
  engine.load(loader, 0);
  const StepResult result = engine.train_step(0, 1e-3, std::numeric_limits<double>::infinity());
  EXPECT_FALSE(result.updated);
  EXPECT_EQ(result.not_finite, "loss");
  const double loss_sum = engine.statistics().loss_sum;
  EXPECT_EQ(engine.find_not_finite(0), "layers.1.attention.output");
  EXPECT_EQ(std::isnan(engine.statistics().loss_sum), std::isnan(loss_sum));
}

// How many samples the last checkpoint of a run has taken.
uint64_t samples_taken(const std::filesystem::path& run) {
  const auto latest = checkpoint::find_latest(run / "checkpoints");
  return read_progress(checkpoint::Checkpoint(latest.checkpoint.value().path)).next_sample;
}

// Losses of small batches are uneven: some lie half a per cent above the mean of four.
const std::vector<std::string> kSpiky = {"train.spike_factor=1.005", "train.spike_window=4",
                                         "train.steps=40", "checkpoint.every=2"};

TEST_F(TrainerTest, SkippedSpikesTakeOtherSamplesAndDoNotEndTheRun) {
  auto settings = kSpiky;
  settings.emplace_back("train.on_spike=skip");
  const auto losses = run_.train("a", settings);
  ASSERT_EQ(losses.size(), 40u);
  EXPECT_GT(samples_taken(run_.root() / "a"), 40u * 4);
  for (size_t i = 4; i < losses.size(); ++i) {
    double mean = 0;
    for (size_t j = i - 4; j < i; ++j) mean += std::stod(losses[j]) / 4;
    EXPECT_LE(std::stod(losses[i]), 1.005001 * mean) << i;
  }
}

TEST_F(TrainerTest, RollBackGoesToTheCheckpointAndOn) {
  auto settings = kSpiky;
  settings.emplace_back("train.on_spike=rollback");
  const auto losses = run_.train("a", settings);
  EXPECT_EQ(losses.size(), 40u);
  EXPECT_GT(samples_taken(run_.root() / "a"), 40u * 4);
  // Two equal runs roll back alike.
  EXPECT_EQ(run_.train("b", settings), losses);
}

TEST_F(TrainerTest, ResumingJudgesSpikesAsIfItHadNeverStopped) {
  auto settings = kSpiky;
  settings.insert(settings.end(), {"train.on_spike=skip", "checkpoint.keep=20"});
  const auto whole = run_.train("a", settings);
  checkpoint::remove_after(run_.root() / "a" / "checkpoints", 26);
  EXPECT_EQ(run_.train("a", settings, true), whole);
}

TEST_F(TrainerTest, SpikesWithoutProgressEndTheRun) {
  try {
    run_.train("a", {"model.init_std=1e39", "train.on_spike=skip"});
    FAIL();
  } catch (const NumericError& error) {
    EXPECT_THAT(error.what(), HasSubstr("101 times without getting further"));
  }
}

// Bare u16 ids with one outside the vocabulary, which some sample of the first epoch meets.
TEST_F(TrainerTest, ABadTokenStopsTheRunBehindACheckpoint) {
  std::vector<uint16_t> ids(4000);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<uint16_t>(i * 7 % 50);
  ids[2500] = 999;
  const std::filesystem::path file = run_.root() / "bad.bin";
  std::ofstream(file, std::ios::binary)
      .write(reinterpret_cast<const char*>(ids.data()),
             static_cast<std::streamsize>(ids.size() * sizeof(uint16_t)));
  const std::vector<std::string> settings = {"data.path=" + file.string(), "model.vocabulary=50",
                                             "train.global_batch=1", "train.micro_batch=1",
                                             "train.steps=260"};
  std::string message;
  try {
    run_.train("a", settings);
    FAIL();
  } catch (const InvalidArgument& error) {
    message = error.what();
  }
  EXPECT_THAT(message, HasSubstr("token 2500 has id 999, outside the vocabulary of 50"));
  const auto done = losses_in(run_.root() / "a" / "steps.jsonl").size();
  ASSERT_GT(done, 0u);
  const auto latest = checkpoint::find_latest(run_.root() / "a" / "checkpoints");
  ASSERT_TRUE(latest.checkpoint);
  EXPECT_EQ(latest.checkpoint->step, static_cast<int64_t>(done));
  EXPECT_THAT(message, HasSubstr(concat("step ", done + 1, " (the run so far is in ")));
  EXPECT_THAT(message, HasSubstr(latest.checkpoint->path.string()));
}

TEST_F(TrainerTest, SignalSavesAndResumeGoesOnExactly) {
  const std::vector<std::string> long_run = {"train.steps=300"};
  const RunConfig config = run_.config(long_run);
  const RunDirectory directory = RunDirectory::create(run_.root() / "a", config::to_toml(config));
  std::thread killer([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
    kill(getpid(), SIGTERM);
  });
  TrainSummary summary;
  {
    Trainer trainer(config, directory, false);
    summary = trainer.run();
  }
  killer.join();
  ASSERT_TRUE(summary.interrupted);
  const auto latest = checkpoint::find_latest(directory.checkpoints());
  ASSERT_TRUE(latest.checkpoint);
  EXPECT_EQ(latest.checkpoint->step, summary.step);
  EXPECT_EQ(run_.train("a", long_run, true), run_.train("whole", long_run));
}

TEST_F(TrainerTest, ADamagedNewestCheckpointIsSkipped) {
  const auto whole = run_.train("a", {"checkpoint.every=4", "checkpoint.keep=5"});
  const auto newest = run_.root() / "a" / "checkpoints" / "step-00000012";
  for (const auto& file : std::filesystem::directory_iterator(newest))
    if (file.path().extension() == ".safetensors")
      std::filesystem::resize_file(file.path(), file.file_size() / 2);
  EXPECT_EQ(run_.train("a", {}, true), whole);
}

TEST_F(TrainerTest, TracedStepsBecomeATimeline) {
  const RunConfig config = run_.config({"train.micro_batch=2", "train.steps=5"});
  const RunDirectory directory = RunDirectory::create(run_.root() / "a", config::to_toml(config));
  Trainer trainer(config, directory, false);
  trainer.trace(trace::parse_step_range("steps=2..3"));
  trainer.run();
  std::ifstream file(directory.timeline(0));
  const auto events = nlohmann::json::parse(file).at("traceEvents");
  std::map<std::string, int> parts;
  for (const auto& event : events)
    if (event["ph"] == "X" && event["cat"] == "step") ++parts[event["name"]];
  EXPECT_EQ(parts, (std::map<std::string, int>{{"step 2", 1},
                                               {"step 3", 1},
                                               {"micro-batch 0", 2},
                                               {"micro-batch 1", 2},
                                               {"update", 2}}));
}

TEST_F(TrainerTest, LoadsOfEveryStepAreTracedAndReplayed) {
  const std::vector<std::string> traced = {
      "trace_loads=true",    "model.layers=4", "model.moe_layers=every:2",
      "train.micro_batch=2", "train.steps=6",  "checkpoint.every=3"};
  run_.train("a", traced);
  const auto path = run_.root() / "a" / "loads.npy";
  const auto trace = models::read_load_trace(path.string());
  EXPECT_EQ(trace.samples, 6);
  EXPECT_EQ(trace.ranks, 1);
  EXPECT_EQ(trace.layers, 2);
  EXPECT_EQ(trace.experts, 4);
  for (int64_t step = 0; step < 6; ++step)
    for (int64_t layer = 0; layer < 2; ++layer) {
      int64_t sum = 0;
      for (int64_t e = 0; e < 4; ++e) sum += trace.at(step, 0, layer, e);
      EXPECT_EQ(sum, 4 * 16 * 2) << step;
    }
  // A resumed run drops the later steps and writes the same ones again.
  checkpoint::remove_after(run_.root() / "a" / "checkpoints", 3);
  run_.train("a", traced, true);
  EXPECT_EQ(models::read_load_trace(path.string()).counts, trace.counts);
  // A replay of the same shape routes exactly as recorded.
  auto replaying = traced;
  replaying.push_back("router.source=replay:" + path.string());
  run_.train("b", replaying);
  EXPECT_EQ(models::read_load_trace((run_.root() / "b" / "loads.npy").string()).counts,
            trace.counts);
}

TEST_F(TrainerTest, ResumingOnOtherDataIsRefused) {
  run_.train("a", {});
  const RunConfig other = run_.config({"data.sampler=rs2"});
  EXPECT_THROW(Trainer(other, RunDirectory::open(run_.root() / "a"), true), InvalidArgument);
}

TEST_F(TrainerTest, ResumingAnotherShapeNamesTheTensor) {
  run_.train("a", {});
  try {
    run_.train("a", {"model.expert_hidden=16"}, true);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_THAT(error.what(), HasSubstr("layers.0.ffn.experts.0"));
  }
}

TEST_F(TrainerTest, VocabularySmallerThanTheDatasNamesBoth) {
  try {
    run_.config({"model.vocabulary=100"});
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_THAT(error.what(), HasSubstr("100"));
    EXPECT_THAT(error.what(), HasSubstr("257"));
  }
}

}  // namespace
}  // namespace hecate::launcher
