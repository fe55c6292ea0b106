#include <gmock/gmock.h>

#include "data_fixture.h"
#include "runtime/base/error.h"
#include "runtime/data/loader.h"
#include "runtime/data/prepare.h"

namespace hecate::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ValidationTest : public DataTest {
 protected:
  static DataConfig on(const std::filesystem::path& path) {
    DataConfig config;
    config.path = "unused.tok";
    config.validation = path.string();
    return config;
  }

  /// All targets in order, and a check that each follows the input before it.
  static std::vector<int32_t> targets_of(const Validation& validation, size_t sequence) {
    std::vector<int32_t> result, tokens(sequence), targets(sequence), document(sequence);
    for (uint64_t w = 0; w < validation.windows(); ++w) {
      validation.window(w, tokens, targets, document);
      for (size_t p = 0; p < sequence; ++p) {
        if (targets[p] < 0) continue;
        if (!result.empty()) {
          EXPECT_EQ(tokens[p], result.back());
        }
        result.push_back(targets[p]);
      }
    }
    return result;
  }
};

TEST_F(ValidationTest, EveryTokenIsATargetOnceInOrder) {
  for (const int32_t count : {1, 15, 16, 17, 31, 32, 33, 100}) {
    const auto path = write_counting_tokens("v.tok", count, 1000, 999);
    const Validation validation(on(path), 1000, 16);
    const std::vector<int32_t> targets = targets_of(validation, 16);
    ASSERT_EQ(targets.size(), static_cast<size_t>(count));
    for (int32_t i = 0; i < count; ++i) ASSERT_EQ(targets[static_cast<size_t>(i)], i);
    EXPECT_EQ(validation.targets(), static_cast<uint64_t>(count));
  }
}

TEST_F(ValidationTest, FirstInputIsTheDocumentEndAndTheTailIsPadded) {
  const Validation validation(on(write_tokens("v.tok", {1, 2, 3, 4, 5}, 10, 9)), 10, 4);
  ASSERT_EQ(validation.windows(), 2u);
  std::vector<int32_t> tokens(4), targets(4);
  validation.window(0, tokens, targets, {});
  EXPECT_THAT(tokens, ElementsAre(9, 1, 2, 3));
  EXPECT_THAT(targets, ElementsAre(1, 2, 3, 4));
  validation.window(1, tokens, targets, {});
  EXPECT_THAT(tokens, ElementsAre(4, 5, 5, 5));
  EXPECT_THAT(targets, ElementsAre(5, -1, -1, -1));
  EXPECT_THROW(validation.window(2, tokens, targets, {}), InvalidArgument);
}

TEST_F(ValidationTest, WithoutDocumentEndTheFirstTokenIsOnlyContext) {
  const auto path = write_counting_tokens("v.tok", 33);
  const Validation validation(on(path), 60000, 16);
  EXPECT_EQ(validation.windows(), 2u);
  EXPECT_EQ(validation.targets(), 32u);
  const std::vector<int32_t> targets = targets_of(validation, 16);
  ASSERT_EQ(targets.size(), 32u);
  EXPECT_EQ(targets.front(), 1);
  EXPECT_EQ(targets.back(), 32);
}

TEST_F(ValidationTest, MaskedDocumentsStillHaveEveryTarget) {
  DataConfig config = on(write_tokens("v.tok", {1, 2, 9, 3, 4, 9}, 10, 9));
  config.mask_documents = true;
  const Validation validation(config, 10, 4);
  EXPECT_THAT(targets_of(validation, 4), ElementsAre(1, 2, 9, 3, 4, 9));
  std::vector<int32_t> tokens(4), targets(4), document(4);
  validation.window(0, tokens, targets, document);
  EXPECT_THAT(document, ElementsAre(0, 0, 0, 3));
}

TEST_F(ValidationTest, HeldOutPartsOfAMixtureFollowEachOther) {
  DataConfig config;
  uint64_t bytes = 0, tokens = 0;
  for (const uint64_t seed : {1, 2}) {
    PrepareOptions options;
    const std::string name = "set" + std::to_string(seed);
    options.files = {write(name + ".txt", word_text(200, seed))};
    options.tokenizer = {"byte", 0};
    options.out = root_ / name;
    const DatasetInfo info = prepare(options);
    bytes += info.validation.bytes;
    tokens += info.validation.tokens;
    config.mixture.push_back({(root_ / name).string(), 1});
  }
  config.mixture.push_back({write_counting_tokens("c.tok", 500, 257).string(), 1});
  const Validation validation(config, 257, 32);
  EXPECT_EQ(validation.bytes(), bytes);
  EXPECT_EQ(validation.targets(), tokens);
  std::string text;
  std::vector<int32_t> inputs(32), targets(32);
  for (uint64_t w = 0; w < validation.windows(); ++w) {
    validation.window(w, inputs, targets, {});
    for (const int32_t target : targets)
      if (target >= 0 && target < 256) text += static_cast<char>(target);
  }
  EXPECT_EQ(text,
            read_all(root_ / "set1/validation.txt") + read_all(root_ / "set2/validation.txt"));
}

TEST_F(ValidationTest, NothingHeldOutIsNamed) {
  DataConfig config;
  config.path = write_counting_tokens("a.tok", 500).string();
  EXPECT_THAT(error_of<InvalidArgument>([&] { Validation(config, 60000, 16); }),
              HasSubstr("set data.validation"));
  EXPECT_THROW(Validation(on(root_ / "none.tok"), 60000, 16), IoError);
  config.path = (root_ / "none").string();
  EXPECT_THROW(Validation(config, 60000, 16), IoError);
}

TEST_F(ValidationTest, ForeignFilesHaveNoBytes) {
  const Validation validation(on(write("v.bin", bytes_of<uint16_t>({1, 2, 3}))), 10, 2);
  EXPECT_EQ(validation.bytes(), 0u);
  EXPECT_EQ(validation.targets(), 2u);
}

}  // namespace
}  // namespace hecate::data
