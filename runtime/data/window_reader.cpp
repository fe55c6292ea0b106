#include "runtime/data/window_reader.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace hecate::data {
namespace {

/// Document begins and the borders that no target may cross. @param inputs positions that hold ids
/// of the file; the others are padding.
void mark_documents(const WindowReader& reader, int64_t first, size_t inputs,
                    std::span<const int32_t> tokens, std::span<int32_t> targets,
                    std::span<int32_t> document) {
  const std::span<const uint64_t> starts = reader.file->document_starts();
  const auto file_position = [&](size_t p) {
    return static_cast<uint64_t>(std::max<int64_t>(first + static_cast<int64_t>(p), 0));
  };
  auto start = std::upper_bound(starts.begin(), starts.end(), file_position(0));
  int32_t begin = 0;
  for (size_t p = 1; p <= tokens.size(); ++p) {
    bool indexed = false;
    for (; start != starts.end() && *start == file_position(p); ++start) indexed = true;
    // The target before p is the id at p, also for the p after the window.
    const bool opens =
        reader.document_end >= 0 && p <= inputs && targets[p - 1] == reader.document_end;
    const bool border = indexed && !opens && tokens[p - 1] != reader.document_end;
    if (border) targets[p - 1] = -1;
    if (opens || border) begin = static_cast<int32_t>(p);
    if (p < document.size()) document[p] = begin;
  }
}

}  // namespace

void WindowReader::fill(int64_t first, std::span<int32_t> tokens, std::span<int32_t> targets,
                        std::span<int32_t> document) const {
  const size_t sequence = tokens.size();
  const auto size = static_cast<int64_t>(file->size());
  HECATE_CHECK(first >= (document_end >= 0 ? -1 : 0) && first < size && sequence > 0,
               file->path().string(), ": window at token ", first, " of ", size);
  HECATE_CHECK(targets.size() == sequence && (document.empty() || document.size() == sequence),
               "window of ", sequence, " tokens, ", targets.size(), " targets, ", document.size(),
               " documents");
  const size_t lead = first < 0 ? 1 : 0;
  const size_t inputs = std::min(sequence, static_cast<size_t>(size - first));
  if (lead > 0) tokens[0] = static_cast<int32_t>(document_end);
  file->read(static_cast<uint64_t>(first + static_cast<int64_t>(lead)),
             tokens.subspan(lead, inputs - lead), vocabulary);
  std::fill(tokens.begin() + static_cast<std::ptrdiff_t>(inputs), tokens.end(), tokens[inputs - 1]);
  std::copy(tokens.begin() + 1, tokens.end(), targets.begin());
  std::fill(targets.begin() + static_cast<std::ptrdiff_t>(inputs) - 1, targets.end(), -1);
  const int64_t next = first + static_cast<int64_t>(inputs);
  if (next < size)
    file->read(static_cast<uint64_t>(next), targets.subspan(inputs - 1, 1), vocabulary);
  std::fill(document.begin(), document.end(), 0);
  if (mask_documents) mark_documents(*this, first, inputs, tokens, targets, document);
}

}  // namespace hecate::data
