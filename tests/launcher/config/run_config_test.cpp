#include "launcher/config/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/launcher/config/sample.h"

namespace hecate::launcher {
namespace {

using config::test::error_of;
using ::testing::HasSubstr;
using ::testing::StartsWith;

config::Settings settings(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  config::Settings all;
  all.add_text(toml, "run.toml");
  for (const std::string& each : overrides) all.add_override(each);
  return all;
}

RunConfig loaded(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  return load_run_config(settings("data.path = 'd'\n" + toml, overrides));
}

std::string error_in(const std::string& toml, const std::vector<std::string>& overrides = {}) {
  return error_of([&] { loaded(toml, overrides); });
}

// To accept a changed option list: build/release/hecate config --keys >
// tests/launcher/config/options.txt
TEST(RunConfigTest, OptionListIsFrozen) {
  std::ifstream file(HECATE_SOURCE_DIR "/tests/launcher/config/options.txt");
  std::stringstream golden;
  golden << file.rdbuf();
  RunConfig config;
  EXPECT_EQ(config::list_keys(config::bind(config)), golden.str());
}

TEST(RunConfigTest, EveryKeyIsDocumented) {
  RunConfig config;
  config::walk(config::bind(config), [](const std::string& path, const config::Field& field) {
    EXPECT_GE(field.doc.size(), 5u) << path;
  });
}

TEST(RunConfigTest, MetricsStayOnThisMachineUnlessAllowed) {
  EXPECT_THAT(error_in("metrics.address = '0.0.0.0:9464'"),
              HasSubstr("metrics.allow_remote = true"));
  EXPECT_THAT(error_in("metrics.address = 'here'"), HasSubstr("metrics.address: "));
  EXPECT_THAT(error_in("metrics.push_gateway = 'here'"), HasSubstr("expected HOST:PORT"));
  EXPECT_TRUE(loaded("metrics.address = '127.0.0.1:9464'").metrics.on());
  EXPECT_TRUE(
      loaded("metrics.address = '[::]:9464'\nmetrics.allow_remote = true").metrics.allow_remote);
  EXPECT_FALSE(loaded("").metrics.on());
}

TEST(RunConfigTest, PresetGivesDefaultsThatOtherKeysOverride) {
  const RunConfig config = loaded("[model]\ntop_k = 1\npreset = 'olmoe-1b-7b'");
  EXPECT_EQ(config.model.top_k, 1);
  EXPECT_EQ(config.model.experts, 64);
  EXPECT_EQ(config.model.qk_norm, "full");
  EXPECT_EQ(config.model.preset, "olmoe-1b-7b");
}

TEST(RunConfigTest, OverriddenPresetReplacesTheFilesPreset) {
  const RunConfig config =
      loaded("[model]\nlayers = 3\npreset = 'olmoe-1b-7b'", {"model.preset=tiny"});
  EXPECT_EQ(config.model.d_model, 32);
  EXPECT_EQ(config.model.layers, 3);
}

TEST(RunConfigTest, UnknownPresetNamesPlaceAndNearest) {
  const std::string message = error_in("[model]\npreset = 'mixtral-8x7c'");
  EXPECT_THAT(message, StartsWith("run.toml:3: model.preset = 'mixtral-8x7c' is unknown"));
  EXPECT_THAT(message, HasSubstr("nearest: mixtral-8x7b"));
}

TEST(RunConfigTest, PresetOfAWrongTypeIsRefused) {
  EXPECT_EQ(error_in("model.preset = 3"),
            "run.toml:2: model.preset is 3 (integer): expected a string; write it in quotes");
}

TEST(RunConfigTest, ResolvedConfigLoadsBack) {
  const RunConfig config =
      loaded("[model]\npreset = 'plm-1.8b'\nsequence = 128\n[[optimizer.groups]]\npattern = '*'",
             {"device=paced", "device.pace_gflops=20", "schedule.warmup=100"});
  const std::string printed = config::to_toml(config);
  config::Settings again;
  again.add_text(printed, "config.toml");
  EXPECT_EQ(config::to_toml(load_run_config(again)), printed);
}

TEST(RunConfigTest, ImpossibleCombinationsNameTheKeysAndThePlace) {
  EXPECT_EQ(error_in("[model]\nexperts = 4\ntop_k = 5"),
            "run.toml:4: model.top_k = 5 exceeds model.experts = 4");
  EXPECT_EQ(error_in("", {"model.heads=3"}),
            "--set model.heads=3: model.d_model = 256 is not a multiple of model.heads = 3 (or set "
            "model.head_dim)");
  EXPECT_EQ(error_in("[train]\nglobal_batch = 10\nmicro_batch = 4"),
            "run.toml:3: train.global_batch = 10 is not a multiple of train.micro_batch = 4");
  EXPECT_EQ(error_in("", {"device=paced"}),
            "--set device=paced: device.kind = paced needs device.pace_gflops above 0, got 0");
  EXPECT_EQ(error_in("train.spike_factor = 0.5"),
            "run.toml:2: train.spike_factor = 0.5: expected 0 (off) or a factor above 1");
  EXPECT_EQ(error_in("trace_loads = true\n[model]\nmoe_layers = 'none'"),
            "run.toml:4: trace_loads = true, but no layer of the model has experts "
            "(model.moe_layers)");
  EXPECT_EQ(error_in("train.on_spike = 'rollback'"),
            "run.toml:2: train.on_spike = rollback needs checkpoint.every above 0, got 0");
  EXPECT_THAT(error_in("fssdp.calibrate = true\nstrategy = 'ep'"),
              HasSubstr("fssdp.calibrate = true: strategy ep"));
  EXPECT_THAT(error_in("fssdp.calibrate = true\nfssdp.memory_capacity = 0"),
              HasSubstr("fssdp.memory_capacity = 0: nothing could ever be gathered"));
  EXPECT_THAT(error_in("schedule.warmup = 'soon'"), StartsWith("run.toml:2: schedule.warmup"));
  EXPECT_THAT(error_in("data.mixture = [{path = 'e'}]"), HasSubstr("data.path"));
}

TEST(RunConfigTest, DataMayStayUncheckedWhereNothingIsRead) {
  EXPECT_THROW(load_run_config(settings("")), InvalidArgument);
  EXPECT_EQ(load_run_config(settings(""), {"data"}).data.path, "");
}

TEST(RunConfigTest, ShippedConfigurationsLoad) {
  for (const char* name : {"quickstart.toml"}) {
    config::Settings file;
    file.add_file(std::string(HECATE_SOURCE_DIR "/configs/") + name);
    EXPECT_NO_THROW(load_run_config(file)) << name;
  }
}

}  // namespace
}  // namespace hecate::launcher
