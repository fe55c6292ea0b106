#include "runtime/data/utf8.h"

#include <algorithm>
#include <cstdint>

namespace hecate::data {
namespace {

bool continues(char c) {
  return (static_cast<unsigned char>(c) & 0xC0u) == 0x80u;
}

}  // namespace

size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  uint32_t code = lead & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if (!continues(text[i])) return 0;
    code = (code << 6) | (static_cast<unsigned char>(text[i]) & 0x3Fu);
  }
  if ((length == 3 && code < 0x800) || (length == 4 && code < 0x10000)) return 0;
  if ((code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) return 0;
  return length;
}

size_t utf8_boundary(std::string_view text, size_t cut) {
  if (cut >= text.size()) return text.size();
  for (size_t back = 1; back <= std::min<size_t>(cut, 3); ++back)
    if (utf8_length(text.substr(cut - back)) > back) return cut - back;
  return cut;
}

}  // namespace hecate::data
