#include "runtime/data/loader.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

#include "allocation_count.h"
#include "data_fixture.h"
#include "runtime/base/error.h"
#include "runtime/data/prepare.h"
#include "runtime/data/tokenizer.h"

namespace hecate::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Sample {
  explicit Sample(int64_t sequence)
      : tokens(static_cast<size_t>(sequence)),
        targets(static_cast<size_t>(sequence)),
        document(static_cast<size_t>(sequence)) {}
  bool operator==(const Sample&) const = default;
  std::vector<int32_t> tokens, targets, document;
};

Sample take(const Loader& loader, uint64_t index) {
  Sample sample(loader.sequence());
  loader.sample(index, sample.tokens, sample.targets, sample.document);
  return sample;
}

DataConfig at(const std::filesystem::path& path) {
  DataConfig config;
  config.path = path.string();
  return config;
}

class LoaderTest : public DataTest {
 protected:
  std::string loader_error(const DataConfig& config, int64_t vocabulary, int64_t sequence) {
    return error_of<InvalidArgument>([&] { Loader(config, 1, vocabulary, sequence); });
  }

  DatasetInfo prepare_dataset(const std::string& name, const std::string& tokenizer,
                              uint64_t text_seed) {
    PrepareOptions options;
    options.files = {write(name + ".txt", word_text(400, text_seed))};
    options.tokenizer = {tokenizer, tokenizer == "byte" ? 0 : kTestVocabulary};
    options.out = root_ / name;
    return prepare(options);
  }
};

TEST_F(LoaderTest, TargetsAreTheNextTokens) {
  const Loader loader(at(write_counting_tokens("a.tok", 5000)), 1, 60000, 32);
  for (uint64_t i = 0; i < 300; ++i) {
    const Sample sample = take(loader, i);
    for (size_t p = 0; p < 32; ++p) {
      ASSERT_EQ(sample.tokens[p], sample.tokens[0] + static_cast<int32_t>(p));
      ASSERT_EQ(sample.targets[p], sample.tokens[p] + 1);
      ASSERT_EQ(sample.document[p], 0);
    }
  }
}

TEST_F(LoaderTest, EpochPredictsEveryTokenOfItsWindowsOnce) {
  const Loader loader(at(write_counting_tokens("a.tok", 5000)), 1, 60000, 32);
  std::set<int32_t> targets;
  for (uint64_t i = 0; i < loader.samples_per_epoch(); ++i)
    for (const int32_t target : take(loader, i).targets)
      ASSERT_TRUE(targets.insert(target).second) << target;
  EXPECT_EQ(targets.size(), loader.samples_per_epoch() * 32);
  EXPECT_GE(targets.size(), 5000u - 64);
}

TEST_F(LoaderTest, SampleDependsOnSeedAndIndexAlone) {
  const DataConfig config = at(write_counting_tokens("a.tok", 5000));
  const Loader a(config, 1, 60000, 32), b(config, 1, 60000, 32), other(config, 2, 60000, 32);
  std::map<uint64_t, Sample> forward;
  for (uint64_t i = 0; i < 400; ++i) forward.emplace(i, take(a, i));
  int same = 0;
  for (uint64_t i = 400; i-- > 0;) {
    ASSERT_EQ(take(b, i), forward.at(i));
    same += take(other, i) == forward.at(i) ? 1 : 0;
  }
  EXPECT_LT(same, 20);
}

TEST_F(LoaderTest, Rs2TakesItsShareOfEachEpoch) {
  DataConfig config = at(write_counting_tokens("a.tok", 32 * 101 + 1));
  config.sampler = "rs2";
  config.rs2_share = 0.2;
  const Loader loader(config, 1, 60000, 32);
  EXPECT_EQ(loader.samples_per_epoch(), 20u);
}

TEST_F(LoaderTest, MixtureTakesSourcesByWeightAndWalksEachByItsOwnIndex) {
  DataConfig config;
  config.mixture = {{write_tokens("a.tok", std::vector<int32_t>(500, 1), 10).string(), 3},
                    {write_tokens("b.tok", std::vector<int32_t>(900, 2), 10).string(), 1}};
  const Loader loader(config, 1, 10, 16);
  int from_a = 0;
  for (uint64_t i = 0; i < 4096; ++i) from_a += take(loader, i).tokens[0] == 1 ? 1 : 0;
  EXPECT_NEAR(from_a, 3072, 13);
  // b has 55 windows and every fourth sample.
  EXPECT_EQ(loader.samples_per_epoch(), 220u);
}

TEST_F(LoaderTest, MixtureVisitsEveryWindowOfASourceBeforeRepeating) {
  DataConfig config;
  config.mixture = {{write_counting_tokens("a.tok", 16 * 41 + 1, 30000).string(), 1},
                    {write_tokens("b.tok", std::vector<int32_t>(900, 30001), 30002).string(), 2.5}};
  const Loader loader(config, 1, 30002, 16);
  std::set<int32_t> windows;
  for (uint64_t i = 0; windows.size() < 40; ++i) {
    const int32_t first = take(loader, i).tokens[0];
    if (first != 30001) {
      ASSERT_TRUE(windows.insert(first).second) << i;
    }
  }
}

TEST_F(LoaderTest, DocumentsOpenAtTheirEndToken) {
  // 9 closes documents; windows of 8 over a file of 9 tokens have only one place.
  const auto path = write_tokens("a.tok", {1, 2, 9, 3, 4, 5, 9, 6, 7}, 10, 9);
  DataConfig config = at(path);
  EXPECT_THAT(take(Loader(config, 1, 10, 8), 0).document, ElementsAre(0, 0, 0, 0, 0, 0, 0, 0));
  config.mask_documents = true;
  const Sample sample = take(Loader(config, 1, 10, 8), 0);
  EXPECT_THAT(sample.tokens, ElementsAre(1, 2, 9, 3, 4, 5, 9, 6));
  EXPECT_THAT(sample.targets, ElementsAre(2, 9, 3, 4, 5, 9, 6, 7));
  EXPECT_THAT(sample.document, ElementsAre(0, 0, 2, 2, 2, 2, 6, 6));
}

TEST_F(LoaderTest, NothingIsPredictedAcrossABorderWithoutEndToken) {
  std::string index("MMIDIDX\0\0", 9);
  append_value(index, uint64_t{1});
  append_value(index, uint8_t{8});
  append_value(index, uint64_t{3});
  append_value(index, uint64_t{4});
  index += bytes_of<int32_t>({3, 4, 2}) + bytes_of<int64_t>({0, 6, 14});
  index += bytes_of<int64_t>({0, 1, 2, 3});
  write("m.idx", index);
  write("m.bin", bytes_of<uint16_t>({1, 2, 3, 4, 5, 6, 9, 7, 8}));
  DataConfig config = at(root_ / "m");
  config.mask_documents = true;
  const Sample bare = take(Loader(config, 1, 10, 8), 0);
  EXPECT_THAT(bare.targets, ElementsAre(2, 3, -1, 5, 6, 9, -1, 8));
  EXPECT_THAT(bare.document, ElementsAre(0, 0, 0, 3, 3, 3, 3, 7));
  // With 9 as the end token, the document that it closes needs no other border.
  config.document_end = 9;
  const Sample closed = take(Loader(config, 1, 10, 8), 0);
  EXPECT_THAT(closed.targets, ElementsAre(2, 3, -1, 5, 6, 9, 7, 8));
  EXPECT_THAT(closed.document, ElementsAre(0, 0, 0, 3, 3, 3, 6, 6));
  config.mask_documents = false;
  EXPECT_THAT(take(Loader(config, 1, 10, 8), 0).targets, ElementsAre(2, 3, 4, 5, 6, 9, 7, 8));
}

TEST_F(LoaderTest, BorderRightAfterTheWindowMasksItsLastTarget) {
  std::string index("MMIDIDX\0\0", 9);
  append_value(index, uint64_t{1});
  append_value(index, uint8_t{8});
  append_value(index, uint64_t{2});
  append_value(index, uint64_t{3});
  index += bytes_of<int32_t>({4, 1}) + bytes_of<int64_t>({0, 8}) + bytes_of<int64_t>({0, 1, 2});
  write("m.idx", index);
  write("m.bin", bytes_of<uint16_t>({1, 2, 3, 4, 5}));
  DataConfig config = at(root_ / "m.bin");
  config.mask_documents = true;
  EXPECT_THAT(take(Loader(config, 1, 10, 4), 0).targets, ElementsAre(2, 3, 4, -1));
}

TEST_F(LoaderTest, IdentityTellsDataOrderAndLengthApartButNotPlace) {
  const auto path = write_counting_tokens("a.tok", 5000);
  const Loader loader(at(path), 1, 60000, 32);
  std::filesystem::create_directory(root_ / "elsewhere");
  std::filesystem::copy_file(path, root_ / "elsewhere" / "renamed.tok");
  loader.check_identity(Loader(at(root_ / "elsewhere" / "renamed.tok"), 1, 60000, 32).identity());
  DataConfig rs2 = at(path);
  rs2.sampler = "rs2";
  DataConfig masked = at(path);
  masked.mask_documents = true;
  DataConfig mixture;
  mixture.mixture = {{path.string(), 1}, {path.string(), 2}};
  const DataConfig altered = at(write_tokens("b.tok", std::vector<int32_t>(5000, 3), 60000));
  for (const DataConfig& config : {rs2, masked, mixture, altered})
    EXPECT_THROW(loader.check_identity(Loader(config, 1, 60000, 32).identity()), InvalidArgument);
  EXPECT_THROW(loader.check_identity(Loader(at(path), 2, 60000, 32).identity()), InvalidArgument);
  EXPECT_THAT(error_of<InvalidArgument>(
                  [&] { loader.check_identity(Loader(at(path), 1, 60000, 16).identity()); }),
              ::testing::AllOf(HasSubstr("sequence 16"), HasSubstr("sequence 32")));
}

TEST_F(LoaderTest, AllocatesNothingPerSample) {
  DataConfig config;
  config.mask_documents = true;
  config.mixture = {{write_counting_tokens("a.tok", 5000, 60000, 77).string(), 1},
                    {write_counting_tokens("b.tok", 5000).string(), 2}};
  const Loader loader(config, 1, 60000, 64);
  Sample sample(64);
  const uint64_t before = allocation_count();
  for (uint64_t i = 0; i < 1000; ++i)
    loader.sample(i, sample.tokens, sample.targets, sample.document);
  EXPECT_EQ(allocation_count(), before);
}

TEST_F(LoaderTest, ReadsPreparedDatasetsAndDescribesThem) {
  const DatasetInfo info = prepare_dataset("set", "sentencepiece", 1);
  const DataConfig config = at(root_ / "set");
  const DataDescription description = describe(config);
  EXPECT_EQ(description.vocabulary, kTestVocabulary);
  EXPECT_EQ(description.tokenizer_identity, info.tokenizer_identity);
  const auto tokenizer = load_tokenizer(description.tokenizer_directory);
  const Loader loader(config, 1, kTestVocabulary, 64);
  const std::string text = tokenizer->decode(take(loader, 3).tokens);
  EXPECT_THAT(word_text(400, 1), HasSubstr(text));
}

TEST_F(LoaderTest, DescriptionOfForeignFilesLeavesTheVocabularyOpen) {
  const DataDescription description =
      describe(at(write("a.bin", bytes_of<uint16_t>({1, 2, 3, 4}))));
  EXPECT_EQ(description.vocabulary, 0);
  EXPECT_TRUE(description.tokenizer_directory.empty());
}

TEST_F(LoaderTest, RefusesMixturesOfTokenizers) {
  prepare_dataset("a", "byte", 1);
  prepare_dataset("b", "sentencepiece", 1);
  DataConfig config;
  config.mixture = {{(root_ / "a").string(), 1}, {(root_ / "b").string(), 1}};
  EXPECT_THAT(loader_error(config, kTestVocabulary, 16), HasSubstr("has tokenizer byte"));
}

TEST_F(LoaderTest, VocabularyAboveTheModelsNamesBoth) {
  const DataConfig config = at(write_counting_tokens("a.tok", 100, 2048));
  const std::string message = loader_error(config, 1000, 16);
  EXPECT_THAT(message, HasSubstr("a.tok: the data's vocabulary (2048)"));
  EXPECT_THAT(message, HasSubstr("model.vocabulary = 1000"));
}

TEST_F(LoaderTest, FileShorterThanASampleIsNamed) {
  const DataConfig config = at(write_counting_tokens("a.tok", 16));
  EXPECT_THAT(loader_error(config, 60000, 16),
              HasSubstr("a.tok: 16 tokens are shorter than one sequence: a sample takes 17"));
}

TEST_F(LoaderTest, IdOutOfRangeIsNamedWhenItsSampleIsTaken) {
  std::vector<uint16_t> ids(17, 3);
  ids[16] = 900;
  const Loader loader(at(write("a.bin", bytes_of(ids))), 1, 500, 16);
  EXPECT_THAT(error_of<InvalidArgument>([&] { take(loader, 0); }),
              HasSubstr("a.bin: token 16 has id 900, outside the vocabulary of 500"));
}

TEST_F(LoaderTest, MissingDataAndWrongDocumentEndAreErrors) {
  EXPECT_THROW(Loader(at(root_ / "none"), 1, 10, 16), IoError);
  std::filesystem::create_directory(root_ / "empty");
  EXPECT_THAT(error_of<IoError>([&] { Loader(at(root_ / "empty"), 1, 10, 16); }),
              HasSubstr("dataset.json"));
  DataConfig config = at(write("a.bin", bytes_of(std::vector<uint16_t>(40, 1))));
  config.document_end = 10;
  EXPECT_THAT(loader_error(config, 10, 16), HasSubstr("document end 10"));
}

TEST_F(LoaderTest, ReplacedTokenFileOfADatasetIsNoticed) {
  prepare_dataset("set", "byte", 1);
  write_counting_tokens("set/train.tok", 500, 257);
  EXPECT_THAT(loader_error(at(root_ / "set"), 257, 16), HasSubstr("500 tokens, but dataset.json"));
}

TEST_F(LoaderTest, SpansOfAnotherLengthAreRefused) {
  const Loader loader(at(write_counting_tokens("a.tok", 500)), 1, 60000, 16);
  std::vector<int32_t> right(16), wrong(15);
  EXPECT_THROW(loader.sample(0, wrong, right, {}), InvalidArgument);
  EXPECT_THROW(loader.sample(0, right, wrong, {}), InvalidArgument);
  EXPECT_THROW(loader.sample(0, right, right, wrong), InvalidArgument);
}

}  // namespace
}  // namespace hecate::data
