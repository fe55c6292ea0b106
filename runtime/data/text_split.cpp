#include "runtime/data/text_split.h"

#include <cmath>

#include "runtime/data/utf8.h"

namespace hecate::data {
namespace {

constexpr size_t kLongLine = size_t{1} << 16;

size_t cut_at(std::string_view text, size_t offset) {
  if (offset == 0) return 0;
  const size_t newline = text.find('\n', offset - 1);
  const size_t cut = newline == std::string_view::npos ? text.size() : newline + 1;
  return cut - offset <= kLongLine ? cut : utf8_boundary(text, offset);
}

}  // namespace

TextSplit::TextSplit(uint64_t total, double share, SplitSink sink)
    : total_(total),
      target_(total - static_cast<uint64_t>(std::llround(static_cast<double>(total) * share))),
      sink_(std::move(sink)) {}

void TextSplit::text(std::string_view text) {
  const uint64_t end = position_ + text.size();
  if (part_ == Part::train && end > target_) {
    const size_t offset = target_ > position_ ? static_cast<size_t>(target_ - position_) : 0;
    size_t cut = cut_at(text, offset);
    if (position_ + cut == total_) cut = utf8_boundary(text, offset);
    if (cut > 0) sink_.text(Part::train, text.substr(0, cut));
    text.remove_prefix(cut);
    if (!text.empty()) part_ = Part::validation;
  }
  if (!text.empty()) sink_.text(part_, text);
  position_ = end;
}

void TextSplit::end_document() {
  sink_.end(part_);
}

}  // namespace hecate::data
