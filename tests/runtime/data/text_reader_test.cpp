#include "runtime/data/text_reader.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include "data_fixture.h"
#include "runtime/base/error.h"
#include "runtime/data/utf8.h"

namespace hecate::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TextReaderTest : public DataTest {
 protected:
  std::vector<std::string> documents(const std::vector<std::filesystem::path>& files,
                                     const std::string& separator = "") {
    std::vector<std::string> result;
    std::string open;
    sources_ = walk_documents(files, separator,
                              {[&](std::string_view text) {
                                 EXPECT_FALSE(text.empty());
                                 pieces_.emplace_back(text);
                                 open += text;
                               },
                               [&] {
                                 result.push_back(open);
                                 open.clear();
                               }});
    EXPECT_EQ(open, "");
    return result;
  }

  std::filesystem::path write_gzip(const std::string& name, const std::string& content) const {
    auto path = root_ / name;
    gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, content.data(), static_cast<unsigned>(content.size()));
    gzclose(file);
    return path;
  }

  std::vector<SourceInfo> sources_;
  std::vector<std::string> pieces_;
};

TEST_F(TextReaderTest, FilesAreDocumentsAndEmptyOnesAreSkipped) {
  EXPECT_THAT(documents({write("a", "one\ntwo\n"), write("b", ""), write("c", "three")}),
              ElementsAre("one\ntwo\n", "three"));
  EXPECT_EQ(sources_[0].bytes, 8u);
  EXPECT_EQ(sources_[1].bytes, 0u);
}

TEST_F(TextReaderTest, SeparatorLinesEndDocuments) {
  const auto file = write("a", "%%\none\n%%\n%%\ntwo %%\n%%x\n x\n%%\r\nthree\n%%");
  EXPECT_THAT(documents({file, write("b", "four")}, "%%"),
              ElementsAre("one\n", "two %%\n%%x\n x\n", "three\n", "four"));
}

TEST_F(TextReaderTest, GzipReadsAsItsContent) {
  const std::string text = word_text(5000, 3);
  EXPECT_THAT(documents({write_gzip("a.txt.gz", text)}), ElementsAre(text));
  const std::string checksum = sources_[0].crc32c;
  documents({write("a.txt", text)});
  EXPECT_EQ(sources_[0].crc32c, checksum);
  EXPECT_EQ(sources_[0].bytes, text.size());
}

TEST_F(TextReaderTest, LongTextsArriveInPiecesCutAtLineEnds) {
  const std::string text = word_text(60000, 3);
  ASSERT_GT(text.size(), size_t{2} << 20);
  EXPECT_THAT(documents({write("a", text)}), ElementsAre(text));
  EXPECT_GT(pieces_.size(), 2u);
  for (const std::string& piece : pieces_) EXPECT_EQ(piece.back(), '\n');
}

TEST_F(TextReaderTest, LinesAboveAMebibyteAreCutBetweenCharacters) {
  std::string text = "x";
  while (text.size() < (size_t{5} << 19)) text += "\xE2\x82\xAC";
  EXPECT_THAT(documents({write("a", text)}), ElementsAre(text));
  EXPECT_GT(pieces_.size(), 2u);
  for (const std::string& piece : pieces_)
    EXPECT_NE(static_cast<unsigned char>(piece.front()) & 0xC0u, 0x80u);
}

TEST_F(TextReaderTest, MissingFilesDirectoriesAndBrokenGzipAreErrors) {
  EXPECT_THAT(error_of<IoError>([&] { documents({root_ / "none.txt"}); }),
              HasSubstr("none.txt: open: No such file"));
  EXPECT_THAT(error_of<IoError>([&] { documents({root_}); }), HasSubstr("is a directory"));
  const std::string packed = read_all(write_gzip("a.gz", word_text(5000, 3)));
  const auto truncated = write("b.gz", packed.substr(0, packed.size() / 2));
  EXPECT_THAT(error_of<IoError>([&] { documents({truncated}); }), HasSubstr("b.gz: read"));
  std::string altered = packed;
  altered[packed.size() / 2] = static_cast<char>(altered[packed.size() / 2] ^ 0x10);
  EXPECT_THAT(error_of<IoError>([&] { documents({write("c.gz", altered)}); }),
              HasSubstr("c.gz: read"));
}

TEST(Utf8, RecognisesWellFormedCharactersOnly) {
  EXPECT_EQ(utf8_length("a"), 1u);
  EXPECT_EQ(utf8_length("\xC3\xA9"), 2u);
  EXPECT_EQ(utf8_length("\xE2\x82\xAC!"), 3u);
  EXPECT_EQ(utf8_length("\xF0\x9F\x98\x80"), 4u);
  EXPECT_EQ(utf8_length("\xF4\x8F\xBF\xBF"), 4u);
  for (const char* broken :
       {"", "\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xE2\x82", "\xC3x", "\xFF"})
    EXPECT_EQ(utf8_length(broken), 0u) << ::testing::PrintToString(broken);
}

TEST(Utf8, BoundaryNeverDividesACharacter) {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";
  const std::vector<size_t> expected = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
  for (size_t cut = 0; cut < expected.size(); ++cut)
    EXPECT_EQ(utf8_boundary(text, cut), expected[cut]) << cut;
  EXPECT_EQ(utf8_boundary("\x80\x80\x80\x80\x80", 4), 4u);
}

}  // namespace
}  // namespace hecate::data
