#include "scheduler/pbt/frame.h"

#include "runtime/base/error.h"

namespace hecate::pbt {
namespace {

constexpr std::string_view kMagic = "HPB";

void put(std::string& out, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

uint32_t get(std::string_view bytes) {
  uint32_t value = 0;
  for (char byte : bytes.substr(0, 4)) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

}  // namespace

std::string encode(const Message& message) {
  HECATE_CHECK(message.text.size() <= kMostText && message.blob.size() <= kMostBlob,
               "pbt message of ", message.text.size(), " + ", message.blob.size(),
               " bytes: at most ", kMostText, " + ", kMostBlob);
  std::string out(kMagic);
  out += static_cast<char>(kProtocolVersion);
  put(out, static_cast<uint32_t>(message.text.size()));
  put(out, static_cast<uint32_t>(message.blob.size()));
  out += message.text;
  out += message.blob;
  return out;
}

FrameHeader decode_header(std::string_view bytes, const FrameLimits& limits) {
  HECATE_CHECK(bytes.size() == kHeaderBytes && bytes.substr(0, kMagic.size()) == kMagic,
               "not a message of hecate pbt");
  const auto version = static_cast<unsigned char>(bytes[kMagic.size()]);
  HECATE_CHECK(version == kProtocolVersion, "protocol version ", static_cast<int>(version),
               ": this side speaks ", static_cast<int>(kProtocolVersion));
  const FrameHeader header{.text = get(bytes.substr(4)), .blob = get(bytes.substr(8))};
  HECATE_CHECK(header.text <= limits.text && header.blob <= limits.blob, "message of ", header.text,
               " + ", header.blob, " bytes: at most ", limits.text, " + ", limits.blob);
  return header;
}

bool equal_secrets(std::string_view expected, std::string_view given) {
  unsigned difference = expected.size() == given.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    const char other = expected.empty() ? '\0' : expected[i % expected.size()];
    difference |= static_cast<unsigned>(static_cast<unsigned char>(given[i] ^ other));
  }
  return difference == 0;
}

}  // namespace hecate::pbt
