#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace hecate::io {

/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78, as in iSCSI, RFC 3720 B.4) of `bytes`,
/// continuing from `crc`: crc32c(b, crc32c(a)) is the checksum of a followed by b. Uses the
/// processor's instruction where it has one; the value is the same everywhere.
uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc = 0);

/// The same by tables alone (slicing by 16).
uint32_t crc32c_portable(std::span<const std::byte> bytes, uint32_t crc = 0);

/// Eight lower-case hexadecimal digits.
std::string checksum_text(uint32_t crc);

}  // namespace hecate::io
