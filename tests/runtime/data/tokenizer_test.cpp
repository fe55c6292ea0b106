#include "runtime/data/tokenizer.h"

#include <gmock/gmock.h>

#include "data_fixture.h"
#include "runtime/base/error.h"

namespace hecate::data {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<Tokenizer> train(const std::string& name, const std::string& text,
                                 int64_t vocabulary = 0) {
  return train_tokenizer({name, vocabulary},
                         {text.size(), [&](const TextSink& sink) { sink(text); }});
}

/// The contract of every tokenizer.
class TokenizerContract : public ::testing::TestWithParam<std::string> {
 protected:
  static std::unique_ptr<Tokenizer> make() {
    return train(GetParam(), word_text(400, 1), GetParam() == "byte" ? 0 : kTestVocabulary);
  }

  void expect_round_trip(const std::string& text) {
    const std::vector<int32_t> ids = tokenizer_->encode(text);
    for (const int32_t id : ids) {
      ASSERT_GE(id, 0);
      ASSERT_LT(id, tokenizer_->vocabulary());
      ASSERT_NE(id, tokenizer_->document_end());
    }
    ASSERT_EQ(tokenizer_->decode(ids), text) << ::testing::PrintToString(text);
  }

  std::unique_ptr<Tokenizer> tokenizer_ = make();
};

TEST_P(TokenizerContract, KeepsSpacesNewlinesAndSpecialLookingText) {
  for (const char* text :
       {"", " ", "  ", "\n", "\n\n\n", " leading", "trailing ", "a  b   c    d", "tab\there",
        "\r\n", "<s> </s> <unk> <0x41> \xE2\x81\x87", "\xE2\x96\x81marks\xE2\x96\x81 \xE2\x96\x81",
        "\xEF\xAC\x81 ligature, \xC2\xA0 no-break, e\xCC\x81 combining, \xE3\x80\x80 wide",
        "\xF0\x9F\x98\x80 face", "\xEF\xBB\xBF byte order mark", "\xEF\xBF\xBD replacement"})
    expect_round_trip(text);
  expect_round_trip(std::string("nul \0 and \x7F", 11));
}

TEST_P(TokenizerContract, KeepsRandomBytes) {
  const CounterRng rng(3, 1);
  uint64_t draw = 0;
  for (int round = 0; round < 300; ++round) {
    std::string text(rng.below(draw++, 60), '\0');
    for (char& c : text) c = static_cast<char>(rng.below(draw++, 256));
    expect_round_trip(text);
  }
}

TEST_P(TokenizerContract, KeepsRandomCharactersBetweenWordsAndBrokenBytes) {
  const CounterRng rng(4, 1);
  uint64_t draw = 0;
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (uint64_t i = rng.below(draw++, 30); i > 0; --i) {
      const auto code = static_cast<uint32_t>(0x80 + rng.below(draw++, 0xD700));
      switch (rng.below(draw++, 5)) {
        case 0:
          text +=
              {static_cast<char>(0xE0 | (code >> 12)), static_cast<char>(0x80 | ((code >> 6) & 63)),
               static_cast<char>(0x80 | (code & 63))};
          break;
        case 1:
          text += static_cast<char>(code);
          break;
        case 2:
          text += "and the light ";
          break;
        case 3:
          text.append(code % 4, ' ');
          break;
        default:
          text += static_cast<char>('A' + code % 60);
      }
    }
    expect_round_trip(text);
  }
}

TEST_P(TokenizerContract, EncodesLinesApartAsTogether) {
  const std::string text = word_text(50, 9) + "\n\n  tail without end";
  std::vector<int32_t> apart;
  for (size_t begin = 0; begin < text.size();) {
    const size_t newline = text.find('\n', begin);
    const size_t end = newline == std::string::npos ? text.size() : newline + 1;
    tokenizer_->encode(std::string_view(text).substr(begin, end - begin), apart);
    begin = end;
  }
  EXPECT_EQ(apart, tokenizer_->encode(text));
}

TEST_P(TokenizerContract, SavesAndLoadsTheSame) {
  const auto directory = std::filesystem::temp_directory_path() /
                         ("hecate-tokenizer-" + GetParam() + std::to_string(::getpid()));
  std::filesystem::create_directories(directory);
  tokenizer_->save(directory);
  const auto loaded = load_tokenizer(directory);
  std::filesystem::remove_all(directory);
  EXPECT_EQ(loaded->name(), tokenizer_->name());
  EXPECT_EQ(loaded->identity(), tokenizer_->identity());
  EXPECT_EQ(loaded->vocabulary(), tokenizer_->vocabulary());
  EXPECT_EQ(loaded->document_end(), tokenizer_->document_end());
  const std::string text = word_text(20, 2);
  EXPECT_EQ(loaded->encode(text), tokenizer_->encode(text));
}

TEST_P(TokenizerContract, DecodesTheDocumentEndToNothingAndRefusesOtherIds) {
  const std::vector<int32_t> end = {tokenizer_->document_end()};
  EXPECT_EQ(tokenizer_->decode(end), "");
  const std::vector<int32_t> above = {static_cast<int32_t>(tokenizer_->vocabulary())}, below = {-1};
  EXPECT_THROW(tokenizer_->decode(above), InvalidArgument);
  EXPECT_THROW(tokenizer_->decode(below), InvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerContract, ::testing::ValuesIn(tokenizer_names()),
                         [](const auto& each) { return each.param; });

TEST(ByteTokenizer, IdIsTheByte) {
  const auto tokenizer = train("byte", "");
  EXPECT_EQ(tokenizer->vocabulary(), 257);
  EXPECT_EQ(tokenizer->document_end(), 256);
  EXPECT_EQ(tokenizer->encode("A\xFF"), (std::vector<int32_t>{65, 255}));
}

TEST(SentencePieceTokenizer, LearnsPiecesOfTheAskedVocabulary) {
  const std::string text = word_text(400, 1);
  const auto tokenizer = train("sentencepiece", text, kTestVocabulary);
  EXPECT_EQ(tokenizer->vocabulary(), kTestVocabulary);
  EXPECT_LT(2 * tokenizer->encode(text).size(), text.size());
}

TEST(SentencePieceTokenizer, TrainsTheSameModelTwice) {
  const std::string text = word_text(400, 1);
  EXPECT_EQ(train("sentencepiece", text, kTestVocabulary)->identity(),
            train("sentencepiece", text, kTestVocabulary)->identity());
  EXPECT_NE(train("sentencepiece", text, kTestVocabulary)->identity(),
            train("sentencepiece", text, 298)->identity());
}

TEST(SentencePieceTokenizer, NamesTheVocabularyThatATextCannotHave) {
  const std::string text = word_text(30, 1);
  EXPECT_THAT(
      error_of<InvalidArgument>([&] { train("sentencepiece", text, 5000); }),
      ::testing::MatchesRegex(".*too small for a vocabulary of 5000; the largest is [0-9]+"));
  std::string many;  // 200 different characters
  for (int code = 0; code < 200; ++code)
    many += {static_cast<char>(0xE4), static_cast<char>(0xB8 + code / 64),
             static_cast<char>(0x80 + code % 64), ' '};
  EXPECT_THAT(error_of<InvalidArgument>([&] { train("sentencepiece", many, 300); }),
              ::testing::MatchesRegex(".*a vocabulary of at least [0-9]+, got 300"));
}

TEST(SentencePieceTokenizer, RefusesTextWithoutCharacters) {
  for (const char* text : {"", "   \n \n", "\n\n", "\x01\x02"})
    EXPECT_THAT(error_of<InvalidArgument>([&] { train("sentencepiece", text); }),
                HasSubstr("no characters"));
}

TEST(TokenizerFactory, UnknownNameGetsTheNearest) {
  const std::string message = error_of<InvalidArgument>([] {
    check_tokenizer_options({"sentencepeice", 0});
  });
  EXPECT_THAT(message, HasSubstr("'sentencepeice'; did you mean 'sentencepiece'?"));
  EXPECT_THAT(message, HasSubstr("known: byte, sentencepiece"));
}

TEST(TokenizerFactory, RefusesImpossibleVocabularies) {
  EXPECT_THAT(error_of<InvalidArgument>([] {
                check_tokenizer_options({"byte", 2048});
              }),
              HasSubstr("exactly 257 ids, got vocabulary 2048"));
  EXPECT_THAT(error_of<InvalidArgument>([] {
                check_tokenizer_options({"sentencepiece", 10});
              }),
              HasSubstr("vocabulary 10"));
}

class TokenizerFiles : public DataTest {};

TEST_F(TokenizerFiles, MissingAndMalformedFilesAreErrors) {
  EXPECT_THROW(load_tokenizer(root_), IoError);
  write("tokenizer.json", "{\"tokenizer\": 3}");
  EXPECT_THAT(error_of<InvalidArgument>([&] { load_tokenizer(root_); }),
              HasSubstr("not a tokenizer description"));
  write("tokenizer.json", "{\"tokenizer\": \"sentencepiece\"}");
  EXPECT_THROW(load_tokenizer(root_), IoError);
  write("sentencepiece.model", "not a model");
  EXPECT_THAT(error_of<InvalidArgument>([&] { load_tokenizer(root_); }),
              HasSubstr("not a SentencePiece model"));
}

}  // namespace
}  // namespace hecate::data
