#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/rng.h"
#include "runtime/data/token_file.h"

namespace hecate::data {

/// Gives each test its own directory, removed afterwards.
class DataTest : public ::testing::Test {
 protected:
  DataTest() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::temp_directory_path() /
            (std::string("hecate-data-") + info->test_suite_name() + "-" + info->name() + "-" +
             std::to_string(::getpid()));
    std::filesystem::create_directories(root_);
  }
  ~DataTest() override { std::filesystem::remove_all(root_); }

  std::filesystem::path write(const std::string& name, std::string_view content) const {
    std::ofstream(root_ / name, std::ios::binary) << content;
    return root_ / name;
  }

  /// The ids 0, 1, 2, ... modulo `vocabulary`, so that an id tells its position.
  std::filesystem::path write_counting_tokens(const std::string& name, int32_t count,
                                              int64_t vocabulary = 60000,
                                              int64_t document_end = -1) const {
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(i % vocabulary));
    return write_tokens(name, ids, vocabulary, document_end);
  }

  std::filesystem::path write_tokens(const std::string& name, const std::vector<int32_t>& ids,
                                     int64_t vocabulary, int64_t document_end = -1) const {
    TokenWriter writer(root_ / name, vocabulary, document_end);
    writer.append(ids);
    writer.finish();
    return root_ / name;
  }

  std::filesystem::path root_;
};

/// The bytes of values, appended.
template <class T>
void append_value(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof(T));
}
template <class T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes;
  for (const T value : values) append_value(bytes, value);
  return bytes;
}

inline std::string read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::vector<int32_t> read_ids(const TokenFile& file, int64_t vocabulary) {
  std::vector<int32_t> ids(file.size());
  file.read(0, ids, vocabulary);
  return ids;
}

/// Message of the error that `action` throws; fails if it throws no `E`.
template <class E, class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error of the expected type was thrown";
  return {};
}

/// A sentencepiece vocabulary that word_text can fill.
inline constexpr int64_t kTestVocabulary = 300;

/// `lines` lines of English-like words, the same for the same seed.
inline std::string word_text(int lines, uint64_t seed) {
  constexpr std::string_view kWords[] = {"the",  "and",   "light", "of",      "waters",  "earth",
                                         "said", "beast", "unto",  "evening", "morning", "God"};
  const CounterRng rng(seed, 5);
  std::string text;
  uint64_t draw = 0;
  for (int line = 0; line < lines; ++line) {
    const uint64_t words = 4 + rng.below(draw++, 9);
    for (uint64_t w = 0; w < words; ++w) {
      if (w > 0) text += ' ';
      text += kWords[rng.below(draw++, std::size(kWords))];
    }
    text += ".\n";
  }
  return text;
}

}  // namespace hecate::data
