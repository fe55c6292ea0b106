#pragma once
#include <cstddef>
#include <string_view>

namespace hecate::data {

/// Bytes of the well-formed UTF-8 character at the front of `text` (1 to 4), or 0 if there is none:
/// overlong forms, surrogates and values above U+10FFFF are not well-formed.
size_t utf8_length(std::string_view text);

/// The largest cut <= `cut` that does not divide a character; `cut` itself within invalid bytes.
size_t utf8_boundary(std::string_view text, size_t cut);

}  // namespace hecate::data
