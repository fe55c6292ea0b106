#include "tests/launcher/train/tiny_run.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <nlohmann/json.hpp>

#include "launcher/train/setup.h"
#include "launcher/train/trainer.h"
#include "runtime/base/rng.h"
#include "runtime/data/prepare.h"

namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;

const std::vector<std::string> kBase = {"model.layers=2",
                                        "model.d_model=32",
                                        "model.heads=2",
                                        "model.sequence=16",
                                        "model.experts=4",
                                        "model.expert_hidden=32",
                                        "train.global_batch=4",
                                        "train.micro_batch=4",
                                        "train.steps=12",
                                        "schedule.rate=0.01",
                                        "schedule.warmup=2",
                                        "device.threads=2",
                                        "train.progress_seconds=1000"};

}  // namespace

TinyRun::TinyRun() {
  static std::atomic<int> count{0};
  root_ = fs::temp_directory_path() /
          ("hecate-train-" + std::to_string(getpid()) + "-" + std::to_string(count++));
  fs::create_directories(root_);
  const CounterRng rng(1, 2);
  std::ofstream text(root_ / "text.txt");
  for (uint64_t i = 0; i < 3000; ++i)
    text << static_cast<char>('a' + rng.below(i, 7)) << (i % 11 == 10 ? "\n" : "");
  text.close();
  data::PrepareOptions options;
  options.files = {root_ / "text.txt"};
  options.tokenizer.name = "byte";
  options.out = data();
  data::prepare(options);
}

TinyRun::~TinyRun() {
  std::error_code ignored;
  fs::remove_all(root_, ignored);
}

RunConfig TinyRun::config(const std::vector<std::string>& overrides) const {
  config::Settings settings;
  for (const std::string& each : kBase) settings.add_override(each);
  settings.add_override("data.path=" + data().string());
  for (const std::string& each : overrides) settings.add_override(each);
  return with_vocabulary(load_run_config(settings));
}

fs::path TinyRun::config_file(const std::vector<std::string>& overrides) const {
  fs::path path = root_ / "run.toml";
  std::ofstream(path) << config::to_toml(config(overrides));
  return path;
}

std::vector<std::string> TinyRun::train(const std::string& name,
                                        const std::vector<std::string>& overrides,
                                        bool resume) const {
  const RunConfig run = config(overrides);
  const RunDirectory directory = resume ? RunDirectory::open(root_ / name)
                                        : RunDirectory::create(root_ / name, config::to_toml(run));
  Trainer(run, directory, resume).run();
  return losses_in(directory.steps());
}

std::vector<std::string> losses_in(const fs::path& steps) {
  std::vector<std::string> losses;
  std::ifstream file(steps);
  for (std::string line; std::getline(file, line);) {
    const auto json = nlohmann::json::parse(line);
    if (json.contains("loss")) losses.push_back(json["loss"].dump());
  }
  return losses;
}

}  // namespace hecate::launcher
