#include "runtime/io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "runtime/base/rng.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::io {
namespace {

using namespace std::string_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;
using testing::ScratchDirectory;

/// What the reference implementation (safetensors 0.8.0, Python) writes for these four tensors.
const std::string kReferenceFile =
    "\x10\x01\0\0\0\0\0\0"s
    R"({"__metadata__":{"format":"pt"},"step":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
    R"("b.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[8,32]},)"
    R"("empty":{"dtype":"F32","shape":[0,4],"data_offsets":[32,32]},)"
    R"("a.bytes":{"dtype":"U8","shape":[3],"data_offsets":[32,35]}} )"
    "\x07\0\0\0\0\0\0\0"
    "\0\0\0\0\0\0\0\x3f\0\0\x80\x3f\0\0\xc0\x3f\0\0\0\x40\0\0\x20\x40"
    "\x01\x02\x03"s;

TEST(Safetensors, ReadsWhatTheReferenceWrites) {
  const ScratchDirectory scratch;
  write_file(scratch / "file", kReferenceFile);
  const SafetensorsFile file(scratch / "file");
  ASSERT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "pt"}}));
  EXPECT_EQ(*file.view<int64_t>("step").data(), 7);
  EXPECT_EQ(file.view<int64_t>("step").shape(), Shape{});
  const auto weight = file.view<float>("b.weight");
  EXPECT_EQ(weight.shape(), (Shape{2, 3}));
  for (int i = 0; i < 6; ++i) EXPECT_EQ(weight.data()[i], static_cast<float>(i) / 2);
  EXPECT_EQ(file.view<float>("empty").size(), 0);
  EXPECT_EQ(file.view<uint8_t>("a.bytes").data()[2], 3);
}

TEST(Safetensors, WritesTheReferencesBytes) {
  const ScratchDirectory scratch;
  const int64_t step = 7;
  const std::vector<float> weight{0, 0.5f, 1, 1.5f, 2, 2.5f};
  const std::vector<uint8_t> bytes{1, 2, 3};
  const std::vector<TensorData> tensors{
      tensor_data<uint8_t>("a.bytes", {bytes.data(), {3}}),
      tensor_data<float>("empty", {weight.data(), {0, 4}}),
      tensor_data<float>("b.weight", {weight.data(), {2, 3}}),
      tensor_data<int64_t>("step", {&step, {}}),
  };
  write_safetensors(scratch / "file", tensors, {{"format", "pt"}});
  EXPECT_EQ(read_file(scratch / "file"), kReferenceFile);
}

std::vector<std::byte> noise(size_t count, uint64_t stream) {
  const CounterRng rng(11, stream);
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(rng.bits(i));
  return bytes;
}

TEST(Safetensors, EveryDTypeAndBitPatternSurvives) {
  const ScratchDirectory scratch;
  const std::vector<DType> dtypes{DType::u8,  DType::u16, DType::bf16, DType::i32,
                                  DType::f32, DType::i64, DType::f64};
  std::vector<std::vector<std::byte>> data;
  std::vector<TensorData> tensors;
  for (const DType dtype : dtypes) {
    data.push_back(noise(7 * 3 * size_of(dtype), static_cast<uint64_t>(dtype)));
    tensors.push_back({tensor_info(concat("t.", name_of(dtype)), dtype, {7, 3}), data.back()});
  }
  write_safetensors(scratch / "file", tensors);
  const SafetensorsFile file(scratch / "file");
  for (size_t i = 0; i < dtypes.size(); ++i) {
    const TensorInfo& info = file.at(tensors[i].info.name);
    EXPECT_EQ(native_dtype(info), dtypes[i]);
    EXPECT_EQ(native_shape(info), (Shape{7, 3}));
    EXPECT_TRUE(std::ranges::equal(file.bytes(info), data[i])) << info.name;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(file.bytes(info).data()) % size_of(dtypes[i]), 0u);
  }
}

TEST(Safetensors, StreamsInPiecesInFileOrder) {
  const ScratchDirectory scratch;
  const auto wide = noise(4000, 1), narrow = noise(333, 2);
  SafetensorsWriter writer(scratch / "file", {tensor_info("narrow", DType::u8, {333}),
                                              tensor_info("none", DType::f32, {3, 0, 2}),
                                              tensor_info("wide", DType::f64, {500})});
  ASSERT_EQ(writer.tensors()[0].name, "wide");
  for (size_t at = 0; at < wide.size(); at += 1000)
    writer.append("wide", std::span(wide).subspan(at, 1000));
  writer.append("narrow", std::span(narrow).first(1));
  writer.append("narrow", std::span(narrow).subspan(1));
  const FileDigest written = writer.finish();
  const FileDigest found = digest_file(scratch / "file");
  EXPECT_EQ(written.bytes, found.bytes);
  EXPECT_EQ(written.checksum, found.checksum);
  const SafetensorsFile file(scratch / "file");
  EXPECT_TRUE(std::ranges::equal(file.bytes(file.at("wide")), wide));
  EXPECT_TRUE(std::ranges::equal(file.bytes(file.at("narrow")), narrow));
}

TEST(Safetensors, WriterRefusesWrongTurnsAndSizes) {
  const ScratchDirectory scratch;
  SafetensorsWriter writer(scratch / "file",
                           {tensor_info("a", DType::f32, {2}), tensor_info("b", DType::f32, {2})});
  const auto bytes = noise(12, 3);
  EXPECT_THAT(message_of<InvalidArgument>([&] { writer.append("b", std::span(bytes).first(4)); }),
              HasSubstr("'b' out of turn, expected 'a'"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { writer.append("a", bytes); }),
              HasSubstr("12 bytes, room for 8"));
  writer.append("a", std::span(bytes).first(8));
  EXPECT_THAT(message_of<InvalidArgument>([&] { writer.finish(); }),
              HasSubstr("inside tensor 'b'"));
  writer.append("b", std::span(bytes).first(8));
  EXPECT_THAT(message_of<InvalidArgument>([&] { writer.append("b", std::span(bytes).first(1)); }),
              HasSubstr("behind the last tensor"));
  writer.finish();
}

TEST(Safetensors, WriterRefusesImpossibleTensors) {
  const auto refusal = [](std::vector<TensorInfo> tensors) {
    return message_of<InvalidArgument>([&] { build_header(tensors, {}); });
  };
  EXPECT_THAT(refusal({tensor_info("a", DType::f32, {1}), tensor_info("a", DType::u8, {1})}),
              HasSubstr("two tensors named 'a'"));
  EXPECT_THAT(refusal({tensor_info("__metadata__", DType::f32, {1})}), HasSubstr("reserved"));
  EXPECT_THAT(refusal({tensor_info("a", DType::f32, {-1})}), HasSubstr("negative dimension -1"));
  EXPECT_THAT(refusal({tensor_info("a", DType::f32, {int64_t{1} << 40, int64_t{1} << 40})}),
              HasSubstr("overflows"));
  EXPECT_THAT(refusal({tensor_info("a\xff", DType::f32, {1})}), HasSubstr("not UTF-8"));
  EXPECT_THAT(refusal({TensorInfo{"a", "F31", {1}}}), HasSubstr("unknown dtype 'F31'"));
}

TEST(Safetensors, NamesWithQuotesAndUnicodeSurvive) {
  const ScratchDirectory scratch;
  const std::string name = "layers.\"0\"\\w\n\u03b1";
  const float value = 3;
  write_safetensors(scratch / "file",
                    std::vector<TensorData>{tensor_data<float>(name, {&value, {1}})},
                    {{"k\"ey", "v\nalue"}});
  const SafetensorsFile file(scratch / "file");
  EXPECT_EQ(file.view<float>(name).data()[0], 3);
  EXPECT_EQ(file.metadata().at("k\"ey"), "v\nalue");
}

TEST(Safetensors, ViewsCheckNameAndType) {
  const ScratchDirectory scratch;
  write_file(scratch / "file", kReferenceFile);
  const SafetensorsFile file(scratch / "file");
  EXPECT_THAT(message_of<InvalidArgument>([&] { file.view<float>("b.wieght"); }),
              HasSubstr("no tensor 'b.wieght'; nearest: 'b.weight'"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { file.view<double>("b.weight"); }),
              AllOf(HasSubstr("'b.weight'"), HasSubstr("expected F64, found F32")));
}

TEST(Safetensors, ForeignDTypesAndRanksAreReadableAsBytes) {
  const ScratchDirectory scratch;
  std::vector<TensorInfo> tensors{TensorInfo{"half", "F16", {1, 1, 1, 2, 2}},
                                  TensorInfo{"nibbles", "F4", {6}}};
  write_file(scratch / "file", build_header(tensors, {}) + std::string(11, 'x'));
  const SafetensorsFile file(scratch / "file");
  EXPECT_EQ(file.bytes(file.at("half")).size(), 8u);
  EXPECT_EQ(file.bytes(file.at("nibbles")).size(), 3u);
  EXPECT_THAT(message_of<InvalidArgument>([&] { native_dtype(file.at("half")); }),
              HasSubstr("'half': dtype F16 is not supported"));
  EXPECT_THAT(message_of<InvalidArgument>([&] { native_shape(file.at("half")); }),
              HasSubstr("5 dimensions"));
}

}  // namespace
}  // namespace hecate::io
