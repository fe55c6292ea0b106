#include "runtime/data/prepare.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include <chrono>

#include "data_fixture.h"
#include "runtime/base/error.h"

namespace hecate::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PrepareTest : public DataTest {
 protected:
  PrepareOptions options(const std::vector<std::filesystem::path>& files,
                         const std::string& tokenizer = "byte") const {
    PrepareOptions result;
    result.files = files;
    result.tokenizer = {tokenizer, tokenizer == "byte" ? 0 : kTestVocabulary};
    result.out = root_ / "out";
    return result;
  }

  std::string decoded(const char* file_name) const {
    const auto tokenizer = load_tokenizer(root_ / "out");
    const auto file = TokenFile::open(root_ / "out" / file_name);
    EXPECT_EQ(file->vocabulary(), tokenizer->vocabulary());
    EXPECT_EQ(file->document_end(), tokenizer->document_end());
    file->verify(tokenizer->vocabulary());
    return tokenizer->decode(read_ids(*file, tokenizer->vocabulary()));
  }

  std::string prepare_error(const PrepareOptions& wrong) const {
    return error_of<InvalidArgument>([&] { prepare(wrong); });
  }
};

TEST_F(PrepareTest, PartsJoinToTheTextForEveryTokenizer) {
  const std::string text = word_text(1000, 4);
  for (const std::string& name : tokenizer_names()) {
    PrepareOptions wanted = options({write("a.txt", text)}, name);
    wanted.overwrite = true;
    const DatasetInfo info = prepare(wanted);
    EXPECT_EQ(decoded("train.tok") + decoded("validation.tok"), text);
    EXPECT_EQ(decoded("validation.tok"), read_all(root_ / "out" / "validation.txt"));
    EXPECT_EQ(info.tokenizer, name);
    EXPECT_EQ(info.train.bytes + info.validation.bytes, text.size());
    EXPECT_NEAR(static_cast<double>(info.validation.bytes), 0.1 * static_cast<double>(text.size()),
                120);
    EXPECT_EQ(read_all(root_ / "out" / "validation.txt").size(), info.validation.bytes);
    EXPECT_EQ(text[info.train.bytes - 1], '\n');
  }
}

TEST_F(PrepareTest, DescriptionSurvivesTheDisk) {
  const auto file = write("a.txt", word_text(1000, 4));
  const DatasetInfo info = prepare(options({file}, "sentencepiece"));
  const DatasetInfo read = read_dataset_info(root_ / "out");
  EXPECT_EQ(read.tokenizer_identity, info.tokenizer_identity);
  EXPECT_EQ(read.vocabulary, kTestVocabulary);
  EXPECT_EQ(read.document_end, info.document_end);
  EXPECT_EQ(read.train.tokens, TokenFile::open(root_ / "out" / "train.tok")->size());
  EXPECT_EQ(read.validation.tokens, TokenFile::open(root_ / "out" / "validation.tok")->size());
  EXPECT_EQ(read.validation.bytes, info.validation.bytes);
  ASSERT_EQ(read.sources.size(), 1u);
  EXPECT_EQ(read.sources[0].name, file.string());
  EXPECT_EQ(read.sources[0].crc32c, info.sources[0].crc32c);
}

TEST_F(PrepareTest, DocumentEndsFollowDocuments) {
  PrepareOptions wanted = options({write("a", "ab\n--\nc\n"), write("b", "d")});
  wanted.document_separator = "--";
  wanted.validation_share = 0;
  const DatasetInfo info = prepare(wanted);
  EXPECT_EQ(info.train.documents, 3u);
  EXPECT_EQ(info.train.bytes, 6u);
  const auto file = TokenFile::open(root_ / "out" / "train.tok");
  EXPECT_THAT(read_ids(*file, 257), ElementsAre('a', 'b', '\n', 256, 'c', '\n', 256, 'd', 256));
  EXPECT_FALSE(std::filesystem::exists(root_ / "out" / "validation.tok"));
}

TEST_F(PrepareTest, CutAtADocumentBorderClosesTheTrainingPart) {
  PrepareOptions wanted = options({write("a", "aaaa\n"), write("b", "bbbb\n")});
  wanted.validation_share = 0.5;
  const DatasetInfo info = prepare(wanted);
  EXPECT_EQ(info.train.documents, 1u);
  EXPECT_EQ(info.validation.documents, 1u);
  EXPECT_EQ(info.train.tokens, 6u);
  EXPECT_EQ(decoded("validation.tok"), "bbbb\n");
}

TEST_F(PrepareTest, TextOfOneLineIsCutBetweenCharacters) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "\xE2\x82\xAC";
  PrepareOptions wanted = options({write("a", text + "\n")});
  const DatasetInfo info = prepare(wanted);
  EXPECT_EQ(info.train.bytes % 3, 0u);
  EXPECT_EQ(decoded("train.tok") + decoded("validation.tok"), text + "\n");
  EXPECT_NEAR(static_cast<double>(info.validation.bytes), 30, 3);
}

TEST_F(PrepareTest, ReportsProgressThroughEveryStage) {
  std::vector<PrepareProgress> seen;
  const std::string text = word_text(60000, 4);
  prepare(options({write("a.txt", text)}, "sentencepiece"),
          [&](const PrepareProgress& progress) { seen.push_back(progress); });
  std::vector<std::string> stages;
  for (const PrepareProgress& progress : seen) {
    if (stages.empty() || stages.back() != progress.stage) stages.push_back(progress.stage);
    EXPECT_LE(progress.done, progress.total > 0 ? progress.total : text.size());
  }
  EXPECT_THAT(stages, ElementsAre("scan", "train tokenizer", "encode"));
  EXPECT_EQ(seen.back().done, text.size());
  EXPECT_EQ(seen.back().total, text.size());
  EXPECT_GE(seen.size(), 8u);
}

TEST_F(PrepareTest, TokenizerLearnsFromTheTrainingPartOnly) {
  const std::string text = word_text(1000, 4);
  const DatasetInfo info = prepare(options({write("a.txt", text)}, "sentencepiece"));
  std::string other = text;
  for (size_t i = info.train.bytes; i < other.size(); ++i)
    if (other[i] == 'e') other[i] = 'q';
  PrepareOptions again = options({write("b.txt", other)}, "sentencepiece");
  again.overwrite = true;
  EXPECT_EQ(prepare(again).tokenizer_identity, info.tokenizer_identity);
}

TEST_F(PrepareTest, ReplacesOnlyDatasetsAndOnlyWhenAsked) {
  PrepareOptions wanted = options({write("a.txt", word_text(100, 4))});
  prepare(wanted);
  EXPECT_THAT(prepare_error(wanted), HasSubstr("exists and is not empty"));
  wanted.overwrite = true;
  wanted.validation_share = 0.2;
  const DatasetInfo info = prepare(wanted);
  EXPECT_EQ(read_dataset_info(wanted.out).validation.bytes, info.validation.bytes);
  write("out/thesis.txt", "precious");
  EXPECT_THAT(prepare_error(wanted), HasSubstr("holds thesis.txt, which is no part of a dataset"));
  EXPECT_EQ(read_all(root_ / "out" / "thesis.txt"), "precious");
}

TEST_F(PrepareTest, FailureLeavesNothingBehindAndTheOldDatasetWhole) {
  PrepareOptions wanted = options({write("a.txt", word_text(100, 4))});
  prepare(wanted);
  const std::string before = read_all(root_ / "out" / "train.tok");
  wanted.overwrite = true;
  wanted.tokenizer = {"sentencepiece", 5000};
  EXPECT_THAT(prepare_error(wanted), HasSubstr("too small for a vocabulary of 5000"));
  EXPECT_EQ(read_all(root_ / "out" / "train.tok"), before);
  EXPECT_FALSE(std::filesystem::exists(root_ / "out.partial"));
}

TEST_F(PrepareTest, TrailingSlashNamesTheSameDirectory) {
  PrepareOptions wanted = options({write("a.txt", word_text(100, 4))});
  wanted.out = (root_ / "out").string() + "/";
  prepare(wanted);
  EXPECT_TRUE(std::filesystem::exists(root_ / "out" / "dataset.json"));
  EXPECT_FALSE(std::filesystem::exists(root_ / "out" / ".partial"));
}

TEST_F(PrepareTest, BadInputIsNamed) {
  const auto text = write("a.txt", word_text(100, 4));
  EXPECT_THAT(prepare_error(options({})), HasSubstr("no input files"));
  EXPECT_THAT(prepare_error(options({write("empty.txt", "")})), HasSubstr("hold no text"));
  EXPECT_THAT(prepare_error(options({write("one.txt", "x")})), HasSubstr("too few to hold out"));
  EXPECT_THAT(prepare_error(options({text}, "bite")), HasSubstr("did you mean 'byte'?"));
  EXPECT_THAT(error_of<IoError>([&] { prepare(options({root_ / "none.txt"})); }),
              HasSubstr("none.txt"));
  PrepareOptions share = options({text});
  share.validation_share = 0.95;
  EXPECT_THAT(prepare_error(share), HasSubstr("validation share 0.95"));
  PrepareOptions separator = options({text});
  separator.document_separator = "a\nb";
  EXPECT_THAT(prepare_error(separator), HasSubstr("must be one line"));
  PrepareOptions file = options({text});
  file.out = text;
  EXPECT_THAT(prepare_error(file), HasSubstr("not a directory"));
}

TEST_F(PrepareTest, UnwritableOutputIsAnIoError) {
  PrepareOptions wanted = options({write("a.txt", word_text(100, 4))});
  // A file where a directory is needed: refused to every user, root included.
  write("wall", "x");
  wanted.out = root_ / "wall" / "out";
  EXPECT_THAT(error_of<IoError>([&] { prepare(wanted); }), HasSubstr("wall"));
  if (::geteuid() == 0) return;
  std::filesystem::create_directory(root_ / "locked");
  std::filesystem::permissions(root_ / "locked", std::filesystem::perms::owner_read);
  wanted.out = root_ / "locked" / "out";
  EXPECT_THROW(prepare(wanted), IoError);
  std::filesystem::permissions(root_ / "locked", std::filesystem::perms::owner_all);
}

TEST_F(PrepareTest, MalformedDescriptionIsNamed) {
  EXPECT_THROW(read_dataset_info(root_), IoError);
  write("dataset.json", "{\"version\": 1}");
  EXPECT_THAT(error_of<InvalidArgument>([&] { read_dataset_info(root_); }),
              HasSubstr("not a dataset description"));
  write("dataset.json", "{\"version\": 9}");
  EXPECT_THAT(error_of<InvalidArgument>([&] { read_dataset_info(root_); }), HasSubstr("version 9"));
}

TEST_F(PrepareTest, ShippedTextTakesSeconds) {
  PrepareOptions wanted = options(
      {std::filesystem::path(HECATE_SOURCE_DIR) / "configs/data/kjv.txt.gz"}, "sentencepiece");
  wanted.tokenizer.vocabulary = 2048;
  const auto begin = std::chrono::steady_clock::now();
  const DatasetInfo info = prepare(wanted);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(info.vocabulary, 2048);
  EXPECT_EQ(info.train.bytes + info.validation.bytes, 4137850u);
  const auto all = static_cast<double>(info.train.tokens + info.validation.tokens);
  EXPECT_GT(4137850 / all, 3.4);  // bytes per token
  EXPECT_LT(elapsed.count(), 60);
  RecordProperty("seconds", std::to_string(elapsed.count()));
}

}  // namespace
}  // namespace hecate::data
