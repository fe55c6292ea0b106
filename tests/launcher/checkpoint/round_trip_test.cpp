#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "launcher/checkpoint/directory.h"
#include "launcher/checkpoint/manifest.h"
#include "runtime/io/file.h"
#include "tests/launcher/checkpoint/state.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::checkpoint {
namespace {

using hecate::testing::ScratchDirectory;
using ::testing::IsEmpty;
using testing::LogicalTensor;

TEST(RoundTrip, EveryDTypeKindAndRankComesBackBitForBit) {
  const ScratchDirectory scratch;
  std::vector<LogicalTensor> tensors;
  for (const DType dtype :
       {DType::f64, DType::f32, DType::bf16, DType::i64, DType::i32, DType::u16, DType::u8})
    for (const Kind kind : {Kind::parameter, Kind::master, Kind::first_moment, Kind::second_moment})
      for (const Shape& shape :
           {Shape{}, Shape{13}, Shape{3, 5}, Shape{2, 3, 4}, Shape{2, 1, 3, 2}, Shape{0, 4}})
        tensors.push_back({concat("t.", name_of(dtype), ".", shape), kind, dtype, shape});
  const auto path = testing::save_now(scratch.path(), tensors, 42);
  EXPECT_EQ(path, scratch / "step-00000042");
  EXPECT_THAT(verify(path), IsEmpty());
  const Checkpoint checkpoint(path);
  EXPECT_EQ(checkpoint.tensors().size(), tensors.size());
  for (const LogicalTensor& tensor : tensors)
    EXPECT_EQ(testing::load_whole(checkpoint, tensor), testing::content_of(tensor, 42))
        << tensor.name;
}

TEST(RoundTrip, NumbersIdentityAndExtraComeBack) {
  const ScratchDirectory scratch;
  const nlohmann::json extra = {{"seed", std::numeric_limits<uint64_t>::max()},
                                {"rate", 0.1 + 0.2},
                                {"tiny", 4.9e-324},
                                {"loads", {{1, 2, 3}, {4, 5, 6}}},
                                {"text", "\xce\xb1 \"quoted\"\n"}};
  {
    CheckpointWriter writer({.directory = scratch.path()});
    Snapshot snapshot;
    snapshot.step = 1200;
    snapshot.tokens = int64_t{1} << 60;
    snapshot.identity = "9f86d0 \"x\"";
    snapshot.extra = extra.dump();
    writer.save(snapshot);
    EXPECT_EQ(writer.wait().size(), 1u);
  }
  const Checkpoint checkpoint(scratch / "step-00001200");
  EXPECT_EQ(checkpoint.step(), 1200);
  EXPECT_EQ(checkpoint.tokens(), int64_t{1} << 60);
  EXPECT_EQ(checkpoint.identity(), "9f86d0 \"x\"");
  EXPECT_EQ(nlohmann::json::parse(checkpoint.extra()), extra);
}

TEST(RoundTrip, LargeRanksAreSplitIntoFiles) {
  const ScratchDirectory scratch;
  const auto tensors = testing::small_model();  // 512, 256, 256, 256 and 64 bytes
  const auto state = testing::whole_state(tensors, 3);
  WriterOptions options;
  options.directory = scratch.path();
  options.max_file_bytes = 512;
  CheckpointWriter writer(options);
  writer.save(testing::snapshot_of(state, 3));
  const SaveReport report = writer.wait().at(0);
  std::vector<std::string> names;
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(report.path)) {
    names.push_back(entry.path().filename().string());
    if (entry.path().extension() == ".safetensors") bytes += entry.file_size();
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre(
                         "manifest.json", "rank-0000-part-0000.safetensors",
                         "rank-0000-part-0001.safetensors", "rank-0000-part-0002.safetensors"));
  EXPECT_EQ(report.bytes, bytes);
  const Checkpoint checkpoint(report.path);
  for (const LogicalTensor& tensor : tensors)
    EXPECT_EQ(testing::load_whole(checkpoint, tensor), testing::content_of(tensor, 3));
}

/// Other programs read the files by plain names.
TEST(RoundTrip, FilesAreOrdinarySafetensors) {
  const ScratchDirectory scratch;
  const auto tensors = testing::small_model();
  const auto path = testing::save_now(scratch.path(), tensors, 5);
  const io::SafetensorsFile file(path / "rank-0000.safetensors");
  const auto& info = file.at("parameter:layers.0.wq");
  EXPECT_TRUE(std::ranges::equal(file.bytes(info), testing::content_of(tensors[1], 5)));
  EXPECT_EQ(file.metadata().at("step"), "5");
}

TEST(RoundTrip, ManifestTextIsStable) {
  const ScratchDirectory scratch;
  const auto path = testing::save_now(scratch.path(), testing::small_model(), 7);
  const std::string text = io::read_file(path / "manifest.json");
  EXPECT_EQ(manifest_text(parse_manifest(text, "manifest")), text);
}

}  // namespace
}  // namespace hecate::checkpoint
