#include "runtime/data/token_file.h"

#include <gmock/gmock.h>

#include <cstring>

#include "data_fixture.h"
#include "runtime/base/error.h"

namespace hecate::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TokenFileTest : public DataTest {
 protected:
  static std::string llmc(int32_t magic, int32_t version, int32_t count, const std::string& ids) {
    std::vector<int32_t> header(256);
    header[0] = magic;
    header[1] = version;
    header[2] = count;
    return bytes_of(header) + ids;
  }

  /// PREFIX.idx of sequences with these lengths; documents hold indices of sequences.
  static std::string megatron_index(uint8_t dtype, int64_t width,
                                    const std::vector<int32_t>& lengths,
                                    const std::vector<int64_t>& documents) {
    std::string index("MMIDIDX\0\0", 9);
    append_value(index, uint64_t{1});
    append_value(index, dtype);
    append_value(index, uint64_t{lengths.size()});
    append_value(index, uint64_t{documents.size()});
    index += bytes_of(lengths);
    int64_t pointer = 0;
    for (const int32_t length : lengths) {
      append_value(index, pointer);
      pointer += length * width;
    }
    return index + bytes_of(documents);
  }

  std::string open_error(const std::filesystem::path& path) {
    return error_of<InvalidArgument>([&] { TokenFile::open(path); });
  }
};

TEST_F(TokenFileTest, TokGivesBackWhatWasWrittenInTwoOrFourBytes) {
  for (const int64_t vocabulary : {65536, 65537}) {
    const std::vector<int32_t> ids = {0, 1, 65535, 40000, 7};
    const auto path = write_tokens("a.tok", ids, vocabulary, 7);
    const auto file = TokenFile::open(path);
    EXPECT_EQ(file->format(), "tok");
    EXPECT_EQ(file->size(), ids.size());
    EXPECT_EQ(file->vocabulary(), vocabulary);
    EXPECT_EQ(file->document_end(), 7);
    EXPECT_EQ(read_ids(*file, vocabulary), ids);
    EXPECT_EQ(std::filesystem::file_size(path), 64 + ids.size() * (vocabulary > 65536 ? 4u : 2u));
    file->verify(vocabulary);
  }
}

TEST_F(TokenFileTest, ReadsAnyRangeAndNothingBeyond) {
  const auto file = TokenFile::open(write_counting_tokens("a.tok", 1000));
  std::vector<int32_t> ids(3);
  file->read(997, ids, 60000);
  EXPECT_THAT(ids, ElementsAre(997, 998, 999));
  EXPECT_THROW(file->read(998, ids, 60000), InvalidArgument);
  EXPECT_THROW(file->read(UINT64_MAX, ids, 60000), InvalidArgument);
}

TEST_F(TokenFileTest, ReadsNanoGpt) {
  const auto file = TokenFile::open(write("train.bin", bytes_of<uint16_t>({3, 50256, 9})));
  EXPECT_EQ(file->format(), "nanogpt");
  EXPECT_EQ(file->vocabulary(), 0);
  EXPECT_EQ(file->document_end(), -1);
  EXPECT_THAT(read_ids(*file, 50257), ElementsAre(3, 50256, 9));
}

TEST_F(TokenFileTest, ReadsLlmc) {
  const auto gpt2 =
      TokenFile::open(write("a.bin", llmc(20240520, 1, 2, bytes_of<uint16_t>({50256, 4}))));
  EXPECT_EQ(gpt2->format(), "llm.c");
  EXPECT_THAT(read_ids(*gpt2, 50257), ElementsAre(50256, 4));
  const auto llama =
      TokenFile::open(write("b.bin", llmc(20240801, 7, 2, bytes_of<uint32_t>({128000, 4}))));
  EXPECT_THAT(read_ids(*llama, 128256), ElementsAre(128000, 4));
}

TEST_F(TokenFileTest, ReadsMegatronOfEveryIdTypeByAnyOfItsNames) {
  const auto check = [&](const std::string& ids, uint8_t dtype, int64_t width) {
    write("m.bin", ids);
    write("m.idx", megatron_index(dtype, width, {2, 1, 3}, {0, 2, 3}));
    for (const char* name : {"m", "m.bin", "m.idx"}) {
      const auto file = TokenFile::open(root_ / name);
      EXPECT_EQ(file->format(), "megatron");
      EXPECT_THAT(read_ids(*file, 128), ElementsAre(5, 6, 7, 100, 9, 10));
      EXPECT_THAT(file->document_starts(), ElementsAre(0, 3));
    }
  };
  check(bytes_of<uint8_t>({5, 6, 7, 100, 9, 10}), 1, 1);
  check(bytes_of<int16_t>({5, 6, 7, 100, 9, 10}), 3, 2);
  check(bytes_of<int32_t>({5, 6, 7, 100, 9, 10}), 4, 4);
  check(bytes_of<int64_t>({5, 6, 7, 100, 9, 10}), 5, 8);
  check(bytes_of<uint16_t>({5, 6, 7, 100, 9, 10}), 8, 2);
}

TEST_F(TokenFileTest, IdOutOfRangeNamesFilePositionIdAndVocabulary) {
  const auto file = TokenFile::open(write("a.bin", bytes_of<uint16_t>({3, 4, 5000, 6})));
  EXPECT_THAT(error_of<InvalidArgument>([&] { read_ids(*file, 5000); }),
              HasSubstr("a.bin: token 2 has id 5000, outside the vocabulary of 5000"));
  EXPECT_THROW(file->verify(5000), InvalidArgument);
  file->verify(5001);
}

TEST_F(TokenFileTest, NegativeAndHugeIdsAreNamedAsTheyAreInTheFile) {
  write("m.bin", bytes_of<int64_t>({1, int64_t{1} << 40}));
  write("m.idx", megatron_index(5, 8, {2}, {0, 1}));
  EXPECT_THAT(error_of<InvalidArgument>([&] { read_ids(*TokenFile::open(root_ / "m"), 100); }),
              HasSubstr("token 1 has id 1099511627776"));
  write("m.bin", bytes_of<int32_t>({1, -2}));
  write("m.idx", megatron_index(4, 4, {2}, {0, 1}));
  EXPECT_THAT(error_of<InvalidArgument>([&] { read_ids(*TokenFile::open(root_ / "m"), 100); }),
              HasSubstr("token 1 has id -2"));
  const auto wide = write("w.bin", llmc(20240801, 7, 1, bytes_of<uint32_t>({4000000000u})));
  EXPECT_THAT(error_of<InvalidArgument>([&] { read_ids(*TokenFile::open(wide), 100); }),
              HasSubstr("token 0 has id 4000000000"));
}

TEST_F(TokenFileTest, MissingFileIsAnIoError) {
  EXPECT_THAT(error_of<IoError>([&] { TokenFile::open(root_ / "none.tok"); }),
              HasSubstr("none.tok"));
  EXPECT_THROW(TokenFile::open(root_ / "none.bin"), IoError);
}

TEST_F(TokenFileTest, EmptyFilesAreNamed) {
  EXPECT_THAT(open_error(write("a.bin", "")), HasSubstr("a.bin: empty token file"));
  EXPECT_THAT(open_error(write("a.tok", "")), HasSubstr("a.tok: empty token file"));
  EXPECT_THAT(open_error(write_tokens("b.tok", {}, 10)), HasSubstr("b.tok: empty token file"));
}

TEST_F(TokenFileTest, TruncatedAndOverlongFilesAreNamed) {
  const std::string whole = read_all(write_counting_tokens("a.tok", 100));
  EXPECT_THAT(
      open_error(write("b.tok", whole.substr(0, whole.size() - 20))),
      HasSubstr("b.tok: truncated token file: the header says 100 tokens, the file holds 90"));
  EXPECT_THAT(open_error(write("c.tok", whole.substr(0, 40))), HasSubstr("truncated"));
  EXPECT_THAT(open_error(write("d.tok", whole + "x")), HasSubstr("goes on after them"));
  EXPECT_THAT(open_error(write("e.bin", "abc")), HasSubstr("e.bin: truncated token file"));
  const std::string ids = bytes_of<uint16_t>({1, 2, 3});
  EXPECT_THAT(open_error(write("f.bin", llmc(20240520, 1, 4, ids))),
              HasSubstr("the header says 4 tokens, the file holds 3"));
  EXPECT_THAT(open_error(write("g.bin", llmc(20240520, 1, 4, ids).substr(0, 100))),
              HasSubstr("truncated"));
  write("m.bin", ids);
  const std::string index = megatron_index(8, 2, {2, 2}, {0, 2});
  write("m.idx", index);
  EXPECT_THAT(open_error(root_ / "m"), HasSubstr("the header says 4 tokens, the file holds 3"));
  for (const size_t cut : {size_t{20}, size_t{40}, index.size() - 1}) {
    write("m.idx", index.substr(0, cut));
    EXPECT_THAT(open_error(root_ / "m"), HasSubstr("truncated Megatron index")) << cut;
  }
}

TEST_F(TokenFileTest, MalformedMegatronIndexIsNamed) {
  write("m.bin", bytes_of<uint16_t>({1, 2, 3}));
  write("m.idx", "something else that is longer than a header would be");
  EXPECT_THAT(open_error(root_ / "m.bin"), HasSubstr("not a Megatron index"));
  write("m.idx", megatron_index(7, 4, {3}, {0, 1}));
  EXPECT_THAT(open_error(root_ / "m"), HasSubstr("dtype code 7"));
  write("m.idx", megatron_index(8, 3, {2, 1}, {0, 2}));
  EXPECT_THAT(open_error(root_ / "m"), HasSubstr("does not follow"));
  write("m.idx", megatron_index(8, 2, {2, 1}, {5, 2}));
  EXPECT_THAT(open_error(root_ / "m"), HasSubstr("document 0 begins at sequence 5"));
  std::string huge = megatron_index(8, 2, {3}, {0, 1});
  const uint64_t count = UINT64_MAX / 12;
  std::memcpy(huge.data() + 18, &count, sizeof(count));
  write("m.idx", huge);
  EXPECT_THAT(open_error(root_ / "m"), HasSubstr("truncated Megatron index"));
}

TEST_F(TokenFileTest, UnknownContentIsNamed) {
  EXPECT_THAT(open_error(write("a.txt", "In the beginning")), HasSubstr("not a token file"));
}

TEST_F(TokenFileTest, UnfinishedWriterLeavesNoTokenFile) {
  {
    TokenWriter writer(root_ / "a.tok", 100, -1);
    writer.append(std::vector<int32_t>(1000, 3));
  }
  EXPECT_THROW(TokenFile::open(root_ / "a.tok"), InvalidArgument);
}

TEST_F(TokenFileTest, WriterRefusesIdsOutsideItsVocabulary) {
  TokenWriter writer(root_ / "a.tok", 100, -1);
  EXPECT_THROW(writer.append(std::vector<int32_t>{100}), InvalidArgument);
  EXPECT_THROW(writer.append(std::vector<int32_t>{-1}), InvalidArgument);
}

TEST_F(TokenFileTest, VerifyAndIdentityNoticeAnAlteredId) {
  const auto path = write_counting_tokens("a.tok", 5000);
  const std::string identity = TokenFile::open(path)->identity();
  std::string content = read_all(path);
  content[64 + 2 * 4321] = static_cast<char>(content[64 + 2 * 4321] ^ 1);
  const auto file = TokenFile::open(write("b.tok", content));
  EXPECT_THAT(error_of<InvalidArgument>([&] { file->verify(60000); }),
              HasSubstr("b.tok: altered token file"));
  const auto other = TokenFile::open(write_tokens("c.tok", std::vector<int32_t>(5000, 1), 60000));
  EXPECT_NE(other->identity(), identity);
  const auto bare = TokenFile::open(write("d.bin", bytes_of<uint16_t>({1, 2, 3})));
  const auto other_bare = TokenFile::open(write("e.bin", bytes_of<uint16_t>({1, 2, 4})));
  EXPECT_NE(bare->identity(), other_bare->identity());
}

}  // namespace
}  // namespace hecate::data
