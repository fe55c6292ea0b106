#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// How messages travel between controller and workers: a header of 12 bytes ("HPB", the protocol's
/// version, then the lengths of text and blob as big-endian 32-bit numbers), the text (a JSON
/// object), the blob (bytes of checkpoint files, mostly none).
namespace hecate::pbt {

/// The only one that this program speaks.
inline constexpr uint8_t kProtocolVersion = 1;
inline constexpr size_t kHeaderBytes = 12;
inline constexpr uint32_t kMostText = 1u << 20;
inline constexpr uint32_t kMostBlob = 1u << 20;

struct Message {
  std::string text;
  std::string blob;
};

struct FrameLimits {
  uint32_t text = kMostText;
  uint32_t blob = kMostBlob;
};

/// @throws InvalidArgument if it is larger than any peer takes.
std::string encode(const Message& message);

struct FrameHeader {
  uint32_t text = 0, blob = 0;
};
/// @param bytes of the header, kHeaderBytes of them.
/// @throws InvalidArgument: not this protocol, another version of it, or larger than the limits.
FrameHeader decode_header(std::string_view bytes, const FrameLimits& limits = {});

/// Whether two secrets are equal, in a time that depends on the length of `given` alone.
bool equal_secrets(std::string_view expected, std::string_view given);

}  // namespace hecate::pbt
