#pragma once
#include <cstdint>
#include <span>

#include "runtime/data/token_file.h"

/// What a sample is. Per position: `tokens`, the input ids; `targets`, the next id, or -1 where
/// nothing is to be predicted; `document`, the position in the sample where the position's document
/// begins (0 if before the sample). Documents are told apart only with data.mask_documents;
/// without, every document is 0. A document-end id opens the document after it, as the token that
/// its first one is predicted from; the end of a document is predicted from its last token. Where
/// files mark documents by an index alone (Megatron without end tokens), a document's last token
/// has target -1. `document` may be empty where it is not needed; the others have `sequence`
/// elements.
namespace hecate::data {

/// Fills one window whose first input is id `first` of `file`.
struct WindowReader {
  const TokenFile* file = nullptr;
  int64_t document_end = -1;  ///< -1: none
  int64_t vocabulary = 0;     ///< every id read must be below
  bool mask_documents = false;

  /// `first` may be -1: the position before the file holds the document end. Positions past the
  /// file's last id have target -1 and repeat its last id. Allocates nothing.
  void fill(int64_t first, std::span<int32_t> tokens, std::span<int32_t> targets,
            std::span<int32_t> document) const;
};

}  // namespace hecate::data
