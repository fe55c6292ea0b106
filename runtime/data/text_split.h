#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

/// Divides a stream of documents into a training part and, at its end, a validation part.
namespace hecate::data {

enum class Part { train, validation };

struct SplitSink {
  std::function<void(Part, std::string_view)> text;
  std::function<void(Part)> end;  ///< of a document, in the part of its last byte
};

class TextSplit {
 public:
  /// @param total bytes of all text. @param share of it that is for validation.
  TextSplit(uint64_t total, double share, SplitSink sink);

  /// Texts in order; line ends are looked for inside the text that holds the target.
  void text(std::string_view text);
  void end_document();

  /// Bytes after which the cut is wanted: it comes at the first line end there, or at a character
  /// if 64 KiB hold no line end or nothing would be left.
  uint64_t target() const { return target_; }

 private:
  uint64_t total_, target_;
  uint64_t position_ = 0;
  Part part_ = Part::train;
  SplitSink sink_;
};

}  // namespace hecate::data
