#include "runtime/data/prepare.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string_view>

#include "runtime/base/error.h"
#include "runtime/data/text_split.h"
#include "runtime/data/token_file.h"
#include "runtime/io/file.h"
#include "runtime/io/staged_directory.h"

namespace hecate::data {
namespace {

namespace fs = std::filesystem;

class Preparation {
 public:
  Preparation(const PrepareOptions& options, const ProgressCallback& progress)
      : options_(options), progress_(progress) {}

  DatasetInfo run(const fs::path& directory) {
    scan();
    const auto tokenizer = train();
    info_.tokenizer = tokenizer->name();
    info_.tokenizer_identity = tokenizer->identity();
    info_.vocabulary = tokenizer->vocabulary();
    info_.document_end = tokenizer->document_end();
    encode(*tokenizer, directory);
    tokenizer->save(directory);
    write_dataset_info(info_, directory);
    return info_;
  }

 private:
  void report(const char* stage, uint64_t done, uint64_t total) const {
    if (progress_) progress_({stage, done, total});
  }

  std::vector<SourceInfo> walk(const DocumentSink& sink) const {
    return walk_documents(options_.files, options_.document_separator, sink);
  }

  void scan() {
    const auto count = [&](std::string_view text) {
      total_ += text.size();
      report("scan", total_, 0);
    };
    info_.sources = walk({count, [] {}});
    HECATE_CHECK(total_ > 0, "prepare: the input files hold no text");
    report("scan", total_, total_);
  }

  TextSplit split(const SplitSink& sink) const {
    return TextSplit(total_, options_.validation_share, sink);
  }

  std::unique_ptr<Tokenizer> train() {
    uint64_t bytes = 0;
    const uint64_t expected = split({}).target();
    const auto feed = [&](const TextSink& sink) {
      TextSplit parts = split({[&](Part part, std::string_view text) {
                                 if (part != Part::train) return;
                                 sink(text);
                                 bytes += text.size();
                                 report("train tokenizer", std::min(bytes, expected), expected);
                               },
                               [](Part) {}});
      walk({[&](std::string_view text) { parts.text(text); }, [&] { parts.end_document(); }});
    };
    auto tokenizer = train_tokenizer(options_.tokenizer, {expected, feed});
    report("train tokenizer", expected, expected);
    return tokenizer;
  }

  void encode(const Tokenizer& tokenizer, const fs::path& directory) {
    TokenWriter train(directory / kTrainFile, info_.vocabulary, info_.document_end);
    std::optional<TokenWriter> validation;
    std::optional<io::FileWriter> held_out;
    std::vector<int32_t> ids;
    uint64_t done = 0;
    const auto writer = [&](Part part) -> TokenWriter& {
      if (part == Part::train) return train;
      if (!validation) {
        validation.emplace(directory / kValidationFile, info_.vocabulary, info_.document_end);
        held_out.emplace(directory / kValidationText);
      }
      return *validation;
    };
    const auto info = [&](Part part) -> SplitInfo& {
      return part == Part::train ? info_.train : info_.validation;
    };
    TextSplit parts = split({[&](Part part, std::string_view text) {
                               ids.clear();
                               tokenizer.encode(text, ids);
                               writer(part).append(ids);
                               if (part == Part::validation) held_out->write(text);
                               info(part).bytes += text.size();
                               report("encode", done += text.size(), total_);
                             },
                             [&](Part part) {
                               const std::array<int32_t, 1> end = {tokenizer.document_end()};
                               writer(part).append(end);
                               ++info(part).documents;
                             }});
    walk({[&](std::string_view text) { parts.text(text); }, [&] { parts.end_document(); }});
    HECATE_CHECK(done == total_, "prepare: the input files changed while they were read");
    HECATE_CHECK(info_.train.bytes > 0 && (validation || options_.validation_share == 0),
                 "prepare: ", total_, " bytes of text are too few to hold out a share of ",
                 options_.validation_share);
    train.finish();
    info_.train.tokens = train.count();
    if (!validation) return;
    validation->finish();
    held_out->finish();
    info_.validation.tokens = validation->count();
  }

  const PrepareOptions& options_;
  const ProgressCallback& progress_;
  uint64_t total_ = 0;
  DatasetInfo info_;
};

bool is_ours(const fs::path& name) {
  constexpr std::array<std::string_view, 6> kNames = {kDatasetFile,     kTrainFile,
                                                      kValidationFile,  kValidationText,
                                                      "tokenizer.json", "sentencepiece.model"};
  return std::find(kNames.begin(), kNames.end(), name.string()) != kNames.end();
}

/// Removes nothing that prepare() does not write.
void check_replaceable(const PrepareOptions& options) {
  const fs::path& out = options.out;
  if (!fs::exists(out)) return;
  HECATE_CHECK(fs::is_directory(out), out.string(), ": exists and is not a directory");
  HECATE_CHECK(options.overwrite || fs::is_empty(out), out.string(),
               ": exists and is not empty; pass overwrite to replace a dataset");
  for (const fs::directory_entry& entry : fs::directory_iterator(out))
    HECATE_CHECK(is_ours(entry.path().filename()), out.string(), ": holds ",
                 entry.path().filename().string(), ", which is no part of a dataset");
}

void check(const PrepareOptions& options) {
  HECATE_CHECK(!options.files.empty(), "prepare: no input files");
  HECATE_CHECK(!options.out.empty(), "prepare: no output directory");
  HECATE_CHECK(options.validation_share >= 0 && options.validation_share <= 0.9,
               "prepare: validation share ", options.validation_share, " is outside [0, 0.9]");
  HECATE_CHECK(options.document_separator.find('\n') == std::string::npos,
               "prepare: the document separator must be one line");
  check_tokenizer_options(options.tokenizer);
}

}  // namespace

DatasetInfo prepare(const PrepareOptions& options, const ProgressCallback& progress) {
  check(options);
  try {
    check_replaceable(options);
    io::StagedDirectory staged(options.out);
    DatasetInfo info = Preparation(options, progress).run(staged.path());
    staged.publish();
    return info;
  } catch (const fs::filesystem_error& error) {
    throw IoError(concat("prepare: ", error.what()));
  }
}

}  // namespace hecate::data
