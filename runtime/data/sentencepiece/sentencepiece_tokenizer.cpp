#include "runtime/data/sentencepiece/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "runtime/base/error.h"
#include "runtime/base/rng.h"
#include "runtime/data/byte_tokenizer.h"
#include "runtime/data/utf8.h"
#include "runtime/io/checksum.h"
#include "runtime/io/file.h"

namespace hecate::data {
namespace {

constexpr std::string_view kModelFile = "sentencepiece.model";
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581 stands for a space in pieces
constexpr uint64_t kTrainingBytes = uint64_t{32} << 20;
constexpr size_t kLongestLine = 4096;

/// Bytes that the library would drop, replace or confuse with its own space mark; they go by the
/// byte pieces instead.
size_t raw_bytes(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x20 || lead == 0x7F || utf8_length(text) == 0) return 1;
  return text.substr(0, kSpaceMark.size()) == kSpaceMark ? kSpaceMark.size() : 0;
}

/// Calls `plain` and `raw` with the runs of text that make up `text`, in order.
template <class Plain, class Raw>
void for_each_run(std::string_view text, Plain plain, Raw raw) {
  size_t begin = 0, end = 0;
  while (end < text.size()) {
    const size_t skipped = raw_bytes(text.substr(end));
    if (skipped == 0) {
      end += utf8_length(text.substr(end));
      continue;
    }
    if (end > begin) plain(text.substr(begin, end - begin));
    raw(text.substr(end, skipped));
    begin = end = end + skipped;
  }
  if (end > begin) plain(text.substr(begin));
}

std::string with_spaces(std::string_view piece) {
  std::string text;
  for (size_t at; (at = piece.find(kSpaceMark)) != std::string_view::npos;) {
    text.append(piece.substr(0, at)).push_back(' ');
    piece.remove_prefix(at + kSpaceMark.size());
  }
  return text.append(piece);
}

class SentencePieceTokenizer : public Tokenizer {
 public:
  using Tokenizer::decode;
  using Tokenizer::encode;

  /// @param origin names the model in errors.
  SentencePieceTokenizer(std::string model, const std::string& origin) : model_(std::move(model)) {
    const auto status = processor_.LoadFromSerializedProto(model_);
    HECATE_CHECK(status.ok(), origin, ": not a SentencePiece model: ", status.ToString());
    HECATE_CHECK(processor_.eos_id() >= 0, origin, ": the model has no end-of-sentence piece");
    read_pieces();
    for (size_t byte = 0; byte < 256; ++byte)
      HECATE_CHECK(byte_ids_[byte] >= 0, origin, ": the model has no byte fallback");
    const std::string probe = " two  spaces, \xC3\xA9\xEF\xAC\x81\xE3\x80\x80 1\xC2\xBD ";
    HECATE_CHECK(decode(encode(probe)) == probe, origin,
                 ": the model changes text (normalisation, dummy prefix or whitespace removal)");
  }

  std::string_view name() const override { return kSentencePieceName; }
  int64_t vocabulary() const override { return static_cast<int64_t>(pieces_.size()); }
  int32_t document_end() const override { return processor_.eos_id(); }
  std::string identity() const override {
    return "sentencepiece-" + io::checksum_text(io::crc32c(std::as_bytes(std::span(model_))));
  }

  void encode(std::string_view text, std::vector<int32_t>& ids) const override {
    std::vector<int> run_ids;
    for_each_run(
        text,
        [&](std::string_view run) {
          const auto status = processor_.Encode(run, &run_ids);
          HECATE_CHECK(status.ok(), "SentencePiece: ", status.ToString());
          ids.insert(ids.end(), run_ids.begin(), run_ids.end());
        },
        [&](std::string_view raw) {
          for (const char c : raw) ids.push_back(byte_ids_[static_cast<unsigned char>(c)]);
        });
  }

  void decode(std::span<const int32_t> ids, std::string& text) const override {
    for (const int32_t id : ids) {
      HECATE_CHECK(id >= 0 && id < vocabulary(), "decode: id ", id,
                   " is outside the vocabulary of ", vocabulary());
      text += pieces_[static_cast<size_t>(id)];
    }
  }

  void save(const std::filesystem::path& directory) const override {
    io::write_file(directory / kModelFile, model_);
    save_tokenizer_description(*this, directory);
  }

 private:
  // The library's own decoding replaces invalid UTF-8; a table of bytes does not.
  void read_pieces() {
    byte_ids_.fill(-1);
    pieces_.resize(static_cast<size_t>(processor_.GetPieceSize()));
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      if (processor_.IsControl(id) || processor_.IsUnknown(id)) continue;
      std::string piece = processor_.IdToPiece(id);
      if (processor_.IsByte(id)) {
        const int byte = std::stoi(piece.substr(3, 2), nullptr, 16);  // "<0x41>"
        byte_ids_[static_cast<size_t>(byte)] = id;
        piece.assign(1, static_cast<char>(byte));
      }
      pieces_[static_cast<size_t>(id)] = with_spaces(piece);
    }
  }

  std::string model_;
  sentencepiece::SentencePieceProcessor processor_;
  std::vector<std::string> pieces_;
  std::array<int32_t, 256> byte_ids_{};
};

class Lines : public sentencepiece::SentenceIterator {
 public:
  explicit Lines(const std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return at_ == lines_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return lines_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& lines_;
  size_t at_ = 0;
};

std::vector<std::string> sample_lines(const TrainingText& text) {
  std::vector<std::string> lines;
  const CounterRng rng(0, stream_of("tokenizer.lines"));
  const double share =
      static_cast<double>(kTrainingBytes) / static_cast<double>(std::max<uint64_t>(text.bytes, 1));
  uint64_t index = 0;
  const auto keep = [&](std::string_view run) {
    while (!run.empty()) {
      const std::string_view line = run.substr(0, utf8_boundary(run, kLongestLine));
      if (share >= 1 || rng.uniform(index) < share) lines.emplace_back(line);
      ++index;
      run.remove_prefix(line.size());
    }
  };
  text.feed([&](std::string_view piece) { for_each_run(piece, keep, [](std::string_view) {}); });
  return lines;
}

/// The number after `marker` in one of the library's messages, or 0.
int64_t number_after(const std::string& message, const std::string& marker) {
  const size_t at = message.find(marker);
  return at == std::string::npos ? 0 : std::atoll(message.c_str() + at + marker.size());
}

[[noreturn]] void fail_training(int64_t vocabulary, const std::string& reason) {
  const int64_t largest = number_after(reason, "to a value <= ");
  const int64_t smallest = number_after(reason, " vs ");
  if (largest > 0)
    throw InvalidArgument(concat("tokenizer 'sentencepiece': the training text is too small for a ",
                                 "vocabulary of ", vocabulary, "; the largest is ", largest));
  if (smallest > 0)
    throw InvalidArgument(concat("tokenizer 'sentencepiece': the training text's characters need ",
                                 "a vocabulary of at least ", smallest, ", got ", vocabulary));
  throw InvalidArgument(concat("tokenizer 'sentencepiece': training failed: ", reason));
}

}  // namespace

std::unique_ptr<Tokenizer> train_sentencepiece(int64_t vocabulary, const TrainingText& text) {
  const std::vector<std::string> lines = sample_lines(text);
  HECATE_CHECK(std::any_of(lines.begin(), lines.end(),
                           [](const std::string& line) {
                             return line.find_first_not_of(' ') != std::string::npos;
                           }),
               "tokenizer 'sentencepiece': the training text has no characters");
  const std::unordered_map<std::string, std::string> options = {
      {"model_type", "unigram"},
      {"vocab_size", std::to_string(vocabulary)},
      {"byte_fallback", "true"},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},
      {"remove_extra_whitespaces", "false"},
      {"max_sentence_length", std::to_string(2 * kLongestLine)},
      {"unk_id", "0"},
      {"eos_id", "1"},
      {"bos_id", "-1"},
      {"pad_id", "-1"},
      {"num_threads", "2"},  // sums depend on it, so it is no property of the machine
      {"minloglevel", "2"}};
  Lines iterator(lines);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(options, &iterator, &model);
  if (!status.ok()) fail_training(vocabulary, status.ToString());
  return std::make_unique<SentencePieceTokenizer>(std::move(model), "trained tokenizer");
}

std::unique_ptr<Tokenizer> load_sentencepiece(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / kModelFile;
  return std::make_unique<SentencePieceTokenizer>(io::read_file(path), path.string());
}

}  // namespace hecate::data
