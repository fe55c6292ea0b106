#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/checkpoint/directory.h"
#include "launcher/convert/convert.h"
#include "tests/launcher/convert/hub_folder.h"
#include "tests/launcher/train/tiny_run.h"
#include "tests/runtime/io/scratch.h"

/// What a conversion refuses, by name, and that it leaves nothing behind then.
namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;
using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ConvertRefusalTest : public ::testing::Test {
 protected:
  /// The message of importing Mixtral's fixture with the weights changed.
  std::string refusal(const std::function<void(Folder&)>& change,
                      const std::vector<std::string>& overrides = {}) {
    Folder folder = read_folder(fixture_folder("mixtral"));
    change(folder);
    write_folder(scratch_ / "from", folder, fixture_folder("mixtral") / "config.json");
    std::string message = message_of<InvalidArgument>([&] {
      import_hub({.from = scratch_ / "from", .run = scratch_ / "run", .overrides = overrides});
    });
    EXPECT_FALSE(fs::exists(scratch_ / "run"));
    EXPECT_FALSE(fs::exists(scratch_ / "run.partial"));
    return message;
  }

  ScratchDirectory scratch_;
};

TEST_F(ConvertRefusalTest, AMissingTensor) {
  EXPECT_THAT(refusal([](Folder& f) { f.erase("model.layers.1.self_attn.k_proj.weight"); }),
              AllOf(HasSubstr("no tensor 'model.layers.1.self_attn.k_proj.weight'"),
                    HasSubstr("nearest: 'model.layers.0.self_attn.k_proj.weight'")));
}

TEST_F(ConvertRefusalTest, AWrongShape) {
  EXPECT_THAT(refusal([](Folder& f) {
                f.at("lm_head.weight").shape = {16, 53};
              }),
              AllOf(HasSubstr("model.safetensors: tensor 'lm_head.weight': expected shape [53,16]"),
                    HasSubstr("found [16,53]")));
}

TEST_F(ConvertRefusalTest, AnOverrideThatChangesTheShape) {
  EXPECT_THAT(refusal([](Folder&) {}, {"model.d_model=32"}), HasSubstr("expected shape [53,32]"));
  fs::remove_all(scratch_ / "from");
  EXPECT_THAT(refusal([](Folder&) {}, {"model.experts=5"}),
              AllOf(HasSubstr("expected shape [5,16]"), HasSubstr("gate.weight")));
}

TEST_F(ConvertRefusalTest, AnUnsupportedDtype) {
  EXPECT_THAT(refusal([](Folder& f) {
                FolderTensor& tensor = f.at("model.norm.weight");
                tensor.dtype = "I16";
                tensor.bytes.resize(32);
              }),
              AllOf(HasSubstr("'model.norm.weight': dtype I16"), HasSubstr("BF16 or F16")));
}

TEST_F(ConvertRefusalTest, ATensorThatTheModelDoesNotHave) {
  EXPECT_THAT(refusal([](Folder& f) {
                f["model.layers.2.input_layernorm.weight"] =
                    f.at("model.layers.1.input_layernorm.weight");
              }),
              AllOf(HasSubstr("tensor 'model.layers.2.input_layernorm.weight' is no part"),
                    HasSubstr("nearest: 'model.layers.0.input_layernorm.weight'")));
}

TEST_F(ConvertRefusalTest, RotaryFrequenciesOfOldFilesAreSkipped) {
  Folder folder = read_folder(fixture_folder("mixtral"));
  folder["model.layers.0.self_attn.rotary_emb.inv_freq"] = {"F32", {2}, std::vector<std::byte>(8)};
  write_folder(scratch_ / "from", folder, fixture_folder("mixtral") / "config.json");
  EXPECT_NO_THROW(
      import_hub({.from = scratch_ / "from", .run = scratch_ / "run", .overrides = {}}));
}

TEST_F(ConvertRefusalTest, AFolderWithoutConfigOrWeights) {
  EXPECT_THAT(message_of<IoError>([&] {
                import_hub({.from = scratch_ / "no", .run = scratch_ / "run", .overrides = {}});
              }),
              HasSubstr("no/config.json: open: No such file"));
  fs::create_directory(scratch_ / "no");
  fs::copy_file(fixture_folder("mixtral") / "config.json", scratch_ / "no/config.json");
  EXPECT_THAT(message_of<IoError>([&] {
                import_hub({.from = scratch_ / "no", .run = scratch_ / "run", .overrides = {}});
              }),
              HasSubstr("neither model.safetensors nor model.safetensors.index.json"));
  EXPECT_FALSE(fs::exists(scratch_ / "run"));
}

TEST_F(ConvertRefusalTest, AMissingShard) {
  fs::copy(fixture_folder("mixtral"), scratch_ / "from");
  fs::remove(scratch_ / "from/model-00002-of-00002.safetensors");
  EXPECT_THAT(message_of<IoError>([&] {
                import_hub({.from = scratch_ / "from", .run = scratch_ / "run", .overrides = {}});
              }),
              HasSubstr("model-00002-of-00002.safetensors"));
}

TEST_F(ConvertRefusalTest, ATruncatedShard) {
  fs::copy(fixture_folder("mixtral"), scratch_ / "from");
  fs::resize_file(scratch_ / "from/model-00001-of-00002.safetensors", 5000);
  EXPECT_THAT(message_of<InvalidArgument>([&] {
                import_hub({.from = scratch_ / "from", .run = scratch_ / "run", .overrides = {}});
              }),
              HasSubstr("model-00001-of-00002.safetensors"));
  EXPECT_FALSE(fs::exists(scratch_ / "run"));
}

TEST_F(ConvertRefusalTest, ATargetThatHoldsSomething) {
  fs::create_directory(scratch_ / "run");
  io::write_file(scratch_ / "run/mine", "kept");
  const ImportOptions in{
      .from = fixture_folder("mixtral"), .run = scratch_ / "run", .overrides = {}};
  EXPECT_THAT(message_of<InvalidArgument>([&] { import_hub(in); }),
              HasSubstr("run: exists and is not empty"));
  import_hub({.from = fixture_folder("mixtral"), .run = scratch_ / "other", .overrides = {}});
  EXPECT_THAT(message_of<InvalidArgument>(
                  [&] { export_hub({.model = scratch_ / "other", .to = scratch_ / "run"}); }),
              HasSubstr("run: exists and is not empty"));
  EXPECT_EQ(io::read_file(scratch_ / "run/mine"), "kept");
}

TEST_F(ConvertRefusalTest, AModelThatNoArchitectureIs) {
  const TinyRun tiny;
  tiny.train("run", {"model.positions=learned", "train.steps=2"});
  EXPECT_THAT(message_of<InvalidArgument>(
                  [&] { export_hub({.model = tiny.root() / "run", .to = scratch_ / "out"}); }),
              AllOf(HasSubstr("model.positions = learned"), HasSubstr("have rope")));
  EXPECT_FALSE(fs::exists(scratch_ / "out"));
}

TEST_F(ConvertRefusalTest, ADamagedCheckpoint) {
  import_hub({.from = fixture_folder("mixtral"), .run = scratch_ / "run", .overrides = {}});
  const fs::path saved = scratch_ / "run/checkpoints/step-00000000";
  for (const auto& file : fs::directory_iterator(saved))
    if (file.path().extension() == ".safetensors")
      fs::resize_file(file.path(), file.file_size() - 8);
  for (const fs::path& path : {saved, scratch_ / "run"})
    EXPECT_THROW(export_hub({.model = path, .to = scratch_ / "out"}), IoError);
  EXPECT_FALSE(fs::exists(scratch_ / "out"));
}

}  // namespace
}  // namespace hecate::launcher
