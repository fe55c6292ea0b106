#include "runtime/io/hf_shards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/io/checksum.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::io {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using testing::ScratchDirectory;

/// Bytes that tell the tensor and the position.
std::vector<std::byte> content_of(const TensorInfo& tensor) {
  std::vector<std::byte> bytes(tensor.bytes());
  const uint32_t seed = crc32c(std::as_bytes(std::span(tensor.name)));
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(seed + i * 7);
  return bytes;
}

void send(const TensorInfo& tensor, const ByteSink& sink) {
  const auto bytes = content_of(tensor);
  const size_t half = bytes.size() / 2;
  sink(std::span(bytes).first(half));
  sink(std::span(bytes).subspan(half));
}

std::vector<TensorInfo> five_tensors() {
  return {tensor_info("embed", DType::f32, {10, 4}), tensor_info("layers.0.w", DType::bf16, {8, 4}),
          tensor_info("layers.0.norm", DType::f32, {4}), tensor_info("big", DType::f32, {100}),
          tensor_info("head", DType::f32, {4})};
}

void expect_all_readable(const std::filesystem::path& directory) {
  ShardedTensors tensors(directory);
  EXPECT_THAT(tensors.names(), ElementsAre("big", "embed", "head", "layers.0.norm", "layers.0.w"));
  for (const std::string& name : tensors.names())
    EXPECT_TRUE(std::ranges::equal(tensors.bytes(name), content_of(tensors.at(name)))) << name;
}

TEST(HfShards, OneFileWhenEverythingFits) {
  const ScratchDirectory scratch;
  EXPECT_THAT(write_sharded(scratch.path(), five_tensors(), 1 << 20, send),
              ElementsAre("model.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(scratch / "model.safetensors.index.json"));
  expect_all_readable(scratch.path());
}

TEST(HfShards, SplitsInOrderAndIndexes) {
  const ScratchDirectory scratch;
  // 160 + 64 + 16 bytes fill the first; 400 are over the limit and stand alone; 16 are left.
  EXPECT_THAT(write_sharded(scratch.path(), five_tensors(), 240, send),
              ElementsAre("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                          "model-00003-of-00003.safetensors"));
  expect_all_readable(scratch.path());
  const std::string index = read_file(scratch / "model.safetensors.index.json");
  EXPECT_THAT(index, AllOf(HasSubstr("\"total_size\": 656"),
                           HasSubstr("\"big\": \"model-00002-of-00003.safetensors\"")));
  const SafetensorsFile first(scratch / "model-00001-of-00003.safetensors");
  EXPECT_EQ(first.tensors().size(), 3u);
  EXPECT_EQ(first.metadata().at("format"), "pt");
}

TEST(HfShards, ReadsAnIndexInTransformersLayout) {
  const ScratchDirectory scratch;
  write_sharded(scratch.path(), five_tensors(), 240, send);
  write_file(scratch / "model.safetensors.index.json",
             R"({"metadata": {"total_size": 64, "total_parameters": 32}, "weight_map": {
                 "layers.0.w": "model-00001-of-00003.safetensors"}})");
  ShardedTensors tensors(scratch.path());
  EXPECT_THAT(tensors.names(), ElementsAre("layers.0.w"));
  EXPECT_EQ(tensors.bytes("layers.0.w").size(), 64u);
}

TEST(HfShards, NamesWhatIsMissing) {
  const ScratchDirectory scratch;
  EXPECT_THAT(message_of<IoError>([&] { ShardedTensors tensors(scratch.path()); }),
              HasSubstr("neither model.safetensors nor model.safetensors.index.json"));
  write_sharded(scratch.path(), five_tensors(), 240, send);
  std::filesystem::remove(scratch / "model-00002-of-00003.safetensors");
  ShardedTensors tensors(scratch.path());
  EXPECT_THAT(message_of<IoError>([&] { tensors.bytes("big"); }),
              HasSubstr("model-00002-of-00003.safetensors"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { tensors.bytes("layers.0.nrom"); }),
              HasSubstr("nearest: 'layers.0.norm'"));
  std::filesystem::copy_file(scratch / "model-00003-of-00003.safetensors",
                             scratch / "model-00002-of-00003.safetensors");
  ShardedTensors mixed(scratch.path());
  EXPECT_THAT(message_of<InvalidArgument>([&] { mixed.bytes("big"); }),
              AllOf(HasSubstr("model-00002"), HasSubstr("lacks tensor 'big'")));
}

TEST(HfShards, CreatesTheDirectoryOrSaysWhyNot) {
  const ScratchDirectory scratch;
  write_sharded(scratch / "new/model", five_tensors(), 240, send);
  expect_all_readable(scratch / "new/model");
  write_file(scratch / "file", "");
  EXPECT_THAT(message_of<IoError>(
                  [&] { write_sharded(scratch / "file/model", five_tensors(), 240, send); }),
              AllOf(HasSubstr("file/model"), HasSubstr("Not a directory")));
}

TEST(HfShards, RefusesMalformedIndexes) {
  const ScratchDirectory scratch;
  for (const char* index :
       {"", "[]", "{", "{}", R"({"weight_map": []})", R"({"weight_map": {"a": 1}})",
        R"({"weight_map": {"a": ""}})", R"({"weight_map": {"a": "../a.safetensors"}})",
        R"({"weight_map": {"a": "/etc/passwd"}})", R"({"weight_map": {"a": ".."}})"}) {
    write_file(scratch / "model.safetensors.index.json", index);
    EXPECT_THAT(message_of<InvalidArgument>([&] { ShardedTensors tensors(scratch.path()); }),
                HasSubstr("model.safetensors.index.json"))
        << index;
  }
}

TEST(HfShards, RefusesToMixWithOlderWeightsAndRepeatedNames) {
  const ScratchDirectory scratch;
  auto tensors = five_tensors();
  tensors.push_back(tensors.front());
  EXPECT_THAT(
      message_of<InvalidArgument>([&] { write_sharded(scratch.path(), tensors, 240, send); }),
      HasSubstr("two tensors named 'embed'"));
  write_sharded(scratch.path(), five_tensors(), 240, send);
  EXPECT_THAT(message_of<InvalidArgument>(
                  [&] { write_sharded(scratch.path(), five_tensors(), 1000, send); }),
              HasSubstr("already holds weights"));
}

}  // namespace
}  // namespace hecate::io
