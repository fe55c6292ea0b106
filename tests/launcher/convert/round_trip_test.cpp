#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

#include "launcher/convert/convert.h"
#include "launcher/convert/elements.h"
#include "launcher/generate/generator.h"
#include "tests/launcher/convert/hub_folder.h"
#include "tests/launcher/train/tiny_run.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;
using hecate::testing::ScratchDirectory;
using ::testing::Each;
using ::testing::ElementsAre;

fs::path imported(const ScratchDirectory& scratch, const std::string& name) {
  import_hub({.from = fixture_folder(name), .run = scratch / name, .overrides = {}});
  return scratch / name;
}

std::vector<Real> values_of(const FolderTensor& tensor) {
  std::vector<Real> values(tensor.bytes.size() / (tensor.dtype == "F32" ? 4 : 2));
  decode(tensor.dtype, tensor.bytes, values);
  return values;
}

class ConvertTest : public ::testing::TestWithParam<std::string> {
 protected:
  ScratchDirectory scratch_;
};

TEST_P(ConvertTest, ImportedWeightsGiveTransformersLogits) {
  Generator generator(open_model(imported(scratch_, GetParam())));
  const io::SafetensorsFile expected(fixture_folder(GetParam()) / "expected.safetensors");
  const auto tokens = expected.view<int32_t>("tokens");
  const auto logits = expected.view<float>("logits");
  for (int64_t s = 0; s < tokens.dim(0); ++s)
    for (int64_t t = 0; t < tokens.dim(1); ++t) {
      const auto found = generator.next_logits({tokens.row(s), static_cast<size_t>(t + 1)});
      ASSERT_EQ(static_cast<int64_t>(found.size()), logits.dim(2));
      const float* wanted = logits.row(s) + t * logits.dim(2);
      for (size_t v = 0; v < found.size(); ++v)
        ASSERT_NEAR(static_cast<double>(found[v]), static_cast<double>(wanted[v]), 1e-5)
            << "sequence " << s << ", token " << t << ", logit " << v;
    }
}

TEST_P(ConvertTest, ExportGivesTheOriginalTensorsBack) {
  export_hub({.model = imported(scratch_, GetParam()), .to = scratch_ / "out"});
  const Folder original = read_folder(fixture_folder(GetParam()));
  const Folder found = read_folder(scratch_ / "out");
  ASSERT_EQ(found.size(), original.size());
  for (const auto& [name, tensor] : original) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_EQ(found.at(name).dtype, tensor.dtype) << name;
    EXPECT_EQ(found.at(name).shape, tensor.shape) << name;
    EXPECT_EQ(found.at(name).bytes, tensor.bytes) << name;
  }
}

TEST_P(ConvertTest, Bf16ExportRoundsAndImportsAgain) {
  const fs::path run = imported(scratch_, GetParam());
  export_hub({.model = run, .to = scratch_ / "half", .weights = DType::bf16});
  import_hub({.from = scratch_ / "half", .run = scratch_ / "again", .overrides = {}});
  export_hub({.model = scratch_ / "again", .to = scratch_ / "out"});
  const Folder original = read_folder(fixture_folder(GetParam()));
  const Folder found = read_folder(scratch_ / "out");
  for (const auto& [name, tensor] : read_folder(scratch_ / "half")) {
    EXPECT_EQ(tensor.dtype, "BF16");
    EXPECT_EQ(values_of(found.at(name)), values_of(tensor)) << name;
    const std::vector<Real> exact = values_of(original.at(name)), rounded = values_of(tensor);
    for (size_t i = 0; i < exact.size(); ++i)
      EXPECT_EQ(rounded[i],
                static_cast<Real>(static_cast<float>(bf16(static_cast<float>(exact[i])))));
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, ConvertTest, ::testing::Values("mixtral", "olmoe", "qwen3"),
                         [](const auto& each) { return each.param; });

class ConvertFilesTest : public ::testing::Test {
 protected:
  ScratchDirectory scratch_;
};

// Halves made by cutting the fraction, so that their value is the float with those bits cleared.
TEST_F(ConvertFilesTest, F16WeightsAreReadExactly) {
  Folder folder = read_folder(fixture_folder("mixtral"));
  std::map<std::string, std::vector<Real>> expected;
  for (auto& [name, tensor] : folder) {
    std::vector<std::byte> halves;
    for (const Real value : values_of(tensor)) {
      const auto bits = std::bit_cast<uint32_t>(static_cast<float>(value));
      const int exponent = static_cast<int>((bits >> 23) & 0xff) - 112;
      uint16_t half = static_cast<uint16_t>((bits >> 16) & 0x8000u);
      float kept = half != 0 ? -0.0f : 0.0f;
      if (exponent > 0) {
        half = static_cast<uint16_t>(half | exponent << 10 | ((bits >> 13) & 0x3ffu));
        kept = std::bit_cast<float>(bits & 0xffffe000u);
      }
      expected[name].push_back(static_cast<Real>(kept));
      const auto* bytes = reinterpret_cast<const std::byte*>(&half);
      halves.insert(halves.end(), bytes, bytes + 2);
    }
    tensor.dtype = "F16";
    tensor.bytes = halves;
  }
  write_folder(scratch_ / "half", folder, fixture_folder("mixtral") / "config.json");
  import_hub({.from = scratch_ / "half", .run = scratch_ / "run", .overrides = {}});
  export_hub({.model = scratch_ / "run", .to = scratch_ / "out"});
  for (const auto& [name, tensor] : read_folder(scratch_ / "out"))
    EXPECT_EQ(values_of(tensor), expected.at(name)) << name;
}

TEST_F(ConvertFilesTest, ShardsKeepToTheirSize) {
  const fs::path run = imported(scratch_, "olmoe");
  const ConvertReport report =
      export_hub({.model = run, .to = scratch_ / "out", .shard_bytes = 9000});
  EXPECT_EQ(report.files.size(), 5u);  // 39,360 bytes
  for (const std::string& file : report.files) {
    const io::SafetensorsFile shard(scratch_ / "out" / file);
    uint64_t bytes = 0;
    for (const io::TensorInfo& tensor : shard.tensors()) bytes += tensor.bytes();
    EXPECT_LE(bytes, 9000u) << file;
  }
  EXPECT_EQ(read_folder(scratch_ / "out").size(), read_folder(fixture_folder("olmoe")).size());
}

TEST_F(ConvertFilesTest, ATiedHeadIsLeftOutAndMayBePresent) {
  TinyRun tiny;
  tiny.train("run", {"model.qk_norm=head", "train.steps=2"});
  export_hub({.model = tiny.root() / "run", .to = scratch_ / "out"});
  Folder folder = read_folder(scratch_ / "out");
  EXPECT_FALSE(folder.contains("lm_head.weight"));
  folder["lm_head.weight"] = folder.at("model.embed_tokens.weight");
  write_folder(scratch_ / "with", folder, scratch_ / "out" / "config.json");
  import_hub({.from = scratch_ / "with", .run = scratch_ / "again", .overrides = {}});
  const std::vector<int32_t> prompt = {97, 98, 99};
  Generator first(open_model(tiny.root() / "run")), second(open_model(scratch_ / "again"));
  const auto a = first.next_logits(prompt), b = second.next_logits(prompt);
  EXPECT_EQ(std::vector<Real>(a.begin(), a.end()), std::vector<Real>(b.begin(), b.end()));
}

// Tuning imported weights: the first loss is that of the weights, and the loss falls.
TEST_F(ConvertFilesTest, AnImportedRunGoesOnTraining) {
  TinyRun tiny;
  const std::vector<std::string> shape = {"model.qk_norm=head", "train.steps=30"};
  tiny.train("run", shape);
  export_hub({.model = tiny.root() / "run", .to = scratch_ / "out"});
  import_hub({.from = scratch_ / "out",
              .run = tiny.root() / "tuned",
              .overrides = {"data.path=" + tiny.data().string()}});
  EXPECT_TRUE(fs::exists(tiny.root() / "tuned" / "tokenizer"));
  const std::vector<std::string> before = losses_in(tiny.root() / "run" / "steps.jsonl");
  const std::vector<std::string> after = tiny.train("tuned", shape, true);
  ASSERT_EQ(after.size(), 30u);
  EXPECT_LT(std::stod(after.front()), 0.9 * std::stod(before.front()));
  EXPECT_LT(std::stod(after.back()), std::stod(after.front()));
  // Stopping and going on is exact here too.
  EXPECT_EQ(tiny.train("tuned", {"model.qk_norm=head", "train.steps=31"}, true).size(), 31u);
}

TEST_F(ConvertFilesTest, ProgressCountsEveryParameter) {
  std::vector<int64_t> seen, totals;
  const auto note = [&](int64_t done, int64_t total) {
    seen.push_back(done);
    totals.push_back(total);
  };
  const ConvertReport in = import_hub(
      {.from = fixture_folder("mixtral"), .run = scratch_ / "run", .overrides = {}}, note);
  const ConvertReport out = export_hub({.model = scratch_ / "run", .to = scratch_ / "out"}, note);
  EXPECT_EQ(in.parameters, 8048);
  EXPECT_EQ(out.parameters, 8048);
  EXPECT_THAT(totals, Each(8048));
  EXPECT_EQ(seen.back(), 8048);
  EXPECT_THAT(out.files, ElementsAre("model.safetensors"));
}

}  // namespace
}  // namespace hecate::launcher
