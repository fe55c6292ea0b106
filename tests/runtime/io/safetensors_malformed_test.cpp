#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/rng.h"
#include "runtime/io/safetensors.h"
#include "tests/runtime/io/scratch.h"

/// Headers that other programs, bad disks or attackers might hand over.
namespace hecate::io {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::message_of;
using testing::ScratchDirectory;

SafetensorsHeader parse(const std::string& file) {
  return parse_header(std::as_bytes(std::span(file)), "w.safetensors");
}

std::string with_length(uint64_t length, const std::string& rest) {
  std::string file(8, '\0');
  for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>((length >> (8 * i)) & 0xffu);
  return file + rest;
}

std::string file_of(const std::string& header, size_t data_bytes) {
  return with_length(header.size(), header + std::string(data_bytes, 'd'));
}

/// The refusal, which names the file.
std::string refusal(const std::string& file) {
  std::string message = message_of<InvalidArgument>([&] { parse(file); });
  EXPECT_THAT(message, HasSubstr("w.safetensors"));
  return message;
}

TEST(SafetensorsMalformed, AcceptsTheControlCases) {
  EXPECT_EQ(parse(file_of("{}", 0)).tensors.size(), 0u);
  EXPECT_EQ(parse(file_of("{}     ", 0)).data_begin, 15u);
  const auto header = parse(file_of(R"({"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]},)"
                                    R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                                    6));
  EXPECT_EQ(header.tensors.front().name, "a");
}

TEST(SafetensorsMalformed, BrokenFrames) {
  EXPECT_THAT(refusal(""), HasSubstr("truncated"));
  EXPECT_THAT(refusal("\x08"), HasSubstr("truncated"));
  EXPECT_THAT(refusal(with_length(3, "{}")), HasSubstr("truncated: header of 3 bytes in 2"));
  EXPECT_THAT(refusal(with_length(~uint64_t{0}, "{}")), HasSubstr("not a safetensors file"));
  EXPECT_THAT(refusal(with_length(kMaxHeaderBytes + 1, "{}")), HasSubstr("at most 100000000"));
  EXPECT_THAT(refusal(file_of("", 0)), HasSubstr("'{'"));
  EXPECT_THAT(refusal(file_of(" {}", 0)), HasSubstr("'{'"));
  EXPECT_THAT(refusal(file_of("[]", 0)), HasSubstr("'{'"));
  EXPECT_THAT(refusal(file_of("{\"a\":", 0)), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(file_of("{\"a\xff\":1}", 0)), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(file_of(std::string(50'000, '{'), 0)), HasSubstr("not JSON"));
  EXPECT_THAT(refusal(file_of("{}", 5)), HasSubstr("5 bytes behind the last tensor"));
}

TEST(SafetensorsMalformed, BrokenFields) {
  const auto tensor = [](const std::string& fields) {
    return refusal(file_of("{\"t\":{" + fields + "}}", 4));
  };
  EXPECT_THAT(refusal(file_of(R"({"t":3})", 0)), HasSubstr("'t' is not an object"));
  EXPECT_THAT(refusal(file_of(R"({"__metadata__":[]})", 0)), HasSubstr("not an object"));
  EXPECT_THAT(refusal(file_of(R"({"__metadata__":{"a":1}})", 0)), HasSubstr("not a string"));
  EXPECT_THAT(tensor(R"("dtype":"F32","shape":[1])"), HasSubstr("'t'"));
  EXPECT_THAT(tensor(R"("dtype":"F32","shape":[1],"offsets":[0,4])"),
              HasSubstr("has no data_offsets"));
  EXPECT_THAT(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1)"),
              HasSubstr("fields beside"));
  EXPECT_THAT(tensor(R"("dtype":32,"shape":[1],"data_offsets":[0,4])"),
              HasSubstr("dtype is not a string"));
  EXPECT_THAT(tensor(R"("dtype":"f32","shape":[1],"data_offsets":[0,4])"),
              HasSubstr("unknown dtype 'f32'"));
  EXPECT_THAT(tensor(R"("dtype":"F32","shape":1,"data_offsets":[0,4])"),
              HasSubstr("shape is not an array"));
  for (const char* dim :
       {"-1", "1.0", "\"1\"", "1e3", "9223372036854775808", "99999999999999999999999"})
    EXPECT_THAT(tensor(concat(R"("dtype":"F32","shape":[)", dim, R"(],"data_offsets":[0,4])")),
                HasSubstr("not a list of counts"))
        << dim;
  for (const char* offsets :
       {"[0]", "[0,4,8]", "[-4,0]", "[0,4.5]", "4", "[0,\"4\"]", "[0,18446744073709551616]"})
    EXPECT_THAT(tensor(concat(R"("dtype":"F32","shape":[1],"data_offsets":)", offsets)),
                HasSubstr("not a pair of counts"))
        << offsets;
}

TEST(SafetensorsMalformed, BrokenLayouts) {
  const auto two = [](const char* a, const char* b, size_t data_bytes) {
    return refusal(file_of(concat(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":)", a,
                                  R"(},"b":{"dtype":"F32","shape":[1],"data_offsets":)", b, "}}"),
                           data_bytes));
  };
  EXPECT_THAT(two("[0,4]", "[2,6]", 6), AllOf(HasSubstr("'b'"), HasSubstr("overlap")));
  EXPECT_THAT(two("[0,4]", "[0,4]", 4), AllOf(HasSubstr("'b'"), HasSubstr("overlap")));
  EXPECT_THAT(two("[0,4]", "[6,10]", 10), AllOf(HasSubstr("'b'"), HasSubstr("hole")));
  EXPECT_THAT(two("[4,8]", "[8,12]", 12), AllOf(HasSubstr("'a'"), HasSubstr("hole")));
  EXPECT_THAT(two("[0,4]", "[8,4]", 8), AllOf(HasSubstr("'b'"), HasSubstr("backwards")));
  EXPECT_THAT(two("[0,4]", "[4,12]", 12), AllOf(HasSubstr("takes 8"), HasSubstr("shape 4")));
  EXPECT_THAT(two("[0,4]", "[4,8]", 7), AllOf(HasSubstr("truncated"), HasSubstr("'b'")));
  EXPECT_THAT(two("[0,4]", "[4,8]", 9), HasSubstr("1 bytes behind"));
  EXPECT_THAT(refusal(file_of(R"({"a":{"dtype":"F64","shape":[4294967296,4294967296],)"
                              R"("data_offsets":[0,0]}})",
                              0)),
              HasSubstr("overflows"));
  EXPECT_THAT(refusal(file_of(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", 1)),
              HasSubstr("inside a byte"));
  EXPECT_THAT(refusal(file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                              R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                              1)),
              HasSubstr("'a' twice"));
}

/// Whatever the bytes, parsing ends with a header that tiles the data or with InvalidArgument.
TEST(SafetensorsMalformed, MutatedFilesNeverEscapeTheChecks) {
  std::vector<TensorInfo> tensors{
      tensor_info("layers.0.w", DType::f32, {3, 5}), tensor_info("layers.0.b", DType::bf16, {5}),
      tensor_info("none", DType::i64, {0}), tensor_info("flags", DType::u8, {7})};
  const std::string good = build_header(tensors, {{"k", "v"}}) + std::string(60 + 10 + 7, 'd');
  ASSERT_EQ(parse(good).tensors.size(), 4u);
  const CounterRng rng(3, 0);
  uint64_t draw = 0;
  int refused = 0;
  constexpr int kRounds = 20'000;
  for (int round = 0; round < kRounds; ++round) {
    std::string bad = good;
    const uint64_t edits = 1 + rng.below(draw++, 3);
    for (uint64_t edit = 0; edit < edits; ++edit) {
      const size_t at = rng.below(draw++, bad.size());
      const auto value = static_cast<char>(rng.bits(draw++));
      switch (rng.below(draw++, 4)) {
        case 0:
          bad[at] = value;
          break;
        case 1:
          bad.erase(at, 1 + rng.below(draw++, 8));
          break;
        case 2:
          bad.insert(at, 1, value);
          break;
        default:
          bad[at] = "0123456789,:[]{}\""[static_cast<uint8_t>(value) % 17];
      }
      if (bad.empty()) break;
    }
    try {
      const SafetensorsHeader header = parse(bad);
      uint64_t expected = 0;
      for (const TensorInfo& tensor : header.tensors) {
        ASSERT_EQ(tensor.begin, expected);
        expected = tensor.end;
      }
      ASSERT_EQ(header.data_begin + expected, bad.size());
    } catch (const InvalidArgument&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, kRounds / 4);
  EXPECT_LT(refused, kRounds);
}

TEST(SafetensorsMalformed, EveryTruncationIsRefused) {
  std::vector<TensorInfo> tensors{tensor_info("w", DType::f32, {3}),
                                  tensor_info("b", DType::u8, {2})};
  const std::string good = build_header(tensors, {}) + std::string(14, 'd');
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_THROW(parse(good.substr(0, size)), InvalidArgument) << size;
}

TEST(SafetensorsMalformed, MisalignedTensorsAreReadableAsBytesOnly) {
  const ScratchDirectory scratch;
  // An odd header length shifts the data; other writers may do so.
  write_file(scratch / "file",
             file_of(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} )", 4));
  const SafetensorsFile file(scratch / "file");
  const bool aligned = reinterpret_cast<uintptr_t>(file.bytes(file.at("a")).data()) % 4 == 0;
  ASSERT_FALSE(aligned);
  EXPECT_THAT(message_of<InvalidArgument>([&] { file.view<float>("a"); }),
              HasSubstr("'a' is not aligned to 4"));
}

}  // namespace
}  // namespace hecate::io
