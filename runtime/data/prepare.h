#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "runtime/data/dataset.h"
#include "runtime/data/tokenizer.h"

/// Text to a dataset that training can read.
namespace hecate::data {

struct PrepareOptions {
  std::vector<std::filesystem::path> files;  ///< plain or gzip text, UTF-8 or any bytes
  TokenizerOptions tokenizer;
  std::filesystem::path out;  ///< the dataset's directory
  /// Share of the text's bytes, at its end, that is held out; in [0, 0.9].
  double validation_share = 0.1;
  /// A line that ends a document inside a file and belongs to none; empty: files are documents.
  std::string document_separator;
  /// Replace `out` if it holds a dataset (and nothing else).
  bool overwrite = false;
};

struct PrepareProgress {
  std::string stage;   ///< "scan", "train tokenizer" or "encode"
  uint64_t done = 0;   ///< bytes of text
  uint64_t total = 0;  ///< bytes of text; 0: not known yet (scan)
};
using ProgressCallback = std::function<void(const PrepareProgress&)>;

/// Trains the tokenizer on the training part, encodes both parts and writes the directory `out`:
/// dataset.json, train.tok, validation.tok, validation.txt (the held-out text without separator
/// lines) and the tokenizer. A document end follows each document. The parts meet at the first line
/// end at or after the share's place, or at a character where there is none near.
/// Everything is written to `out` + ".partial", fsynced and renamed, so `out` is whole or absent.
/// Progress is reported at least once per MiB of text and at the end of each stage, from the
/// calling thread.
/// @throws InvalidArgument for no files, no text, a text too small to divide, impossible options,
///   an `out` that exists (without `overwrite`) or holds other files; IoError if a file cannot be
///   read or written.
DatasetInfo prepare(const PrepareOptions& options, const ProgressCallback& progress = {});

}  // namespace hecate::data
