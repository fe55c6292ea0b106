#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>

#include "runtime/base/host_device.h"

/// Counter-based random numbers: a draw depends on (seed, stream, index) alone, never on call
/// order, thread or rank. Philox4x32-10, Salmon et al. 2011 (doi:10.1145/2063384.2063405).
namespace hecate {

class CounterRng {
 public:
  /// @param stream separates independent uses (one per parameter, sampler, ...).
  HECATE_HOST_DEVICE CounterRng(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}

  /// 64 uniform bits for `index`.
  HECATE_HOST_DEVICE uint64_t bits(uint64_t index) const {
    const Block block = philox(index);
    return (static_cast<uint64_t>(block.word[1]) << 32) | block.word[0];
  }

  /// Uniform in [0, 1), 53 bits.
  HECATE_HOST_DEVICE double uniform(uint64_t index) const {
    return static_cast<double>(bits(index) >> 11) * 0x1.0p-53;
  }

  /// Standard normal by Box-Muller from the block of `index`.
  HECATE_HOST_DEVICE double normal(uint64_t index) const {
    const Block block = philox(index);
    const uint64_t a = (static_cast<uint64_t>(block.word[1]) << 32) | block.word[0];
    const uint64_t b = (static_cast<uint64_t>(block.word[3]) << 32) | block.word[2];
    const double u = (static_cast<double>(a >> 11) + 1.0) * 0x1.0p-53;  // (0, 1]
    const double v = static_cast<double>(b >> 11) * 0x1.0p-53;
    return std::sqrt(-2.0 * std::log(u)) * std::cos(2.0 * std::numbers::pi * v);
  }

  /// Uniform integer in [0, bound), bound > 0; bias below 2^-64 * bound.
  HECATE_HOST_DEVICE uint64_t below(uint64_t index, uint64_t bound) const {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(bits(index)) * bound) >> 64);
  }

 private:
  struct Block {
    uint32_t word[4];
  };

  HECATE_HOST_DEVICE Block philox(uint64_t index) const {
    Block c{{static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
             static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)}};
    uint32_t k0 = static_cast<uint32_t>(seed_), k1 = static_cast<uint32_t>(seed_ >> 32);
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = uint64_t{0xD2511F53} * c.word[0];
      const uint64_t p1 = uint64_t{0xCD9E8D57} * c.word[2];
      c = Block{{static_cast<uint32_t>(p1 >> 32) ^ c.word[1] ^ k0, static_cast<uint32_t>(p1),
                 static_cast<uint32_t>(p0 >> 32) ^ c.word[3] ^ k1, static_cast<uint32_t>(p0)}};
      k0 += 0x9E3779B9;
      k1 += 0xBB67AE85;
    }
    return c;
  }

  uint64_t seed_, stream_;
};

/// FNV-1a of a name: turns "layers.3.attention.wq" into a CounterRng stream.
constexpr uint64_t stream_of(const char* name) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (; *name != '\0'; ++name)
    hash = (hash ^ static_cast<unsigned char>(*name)) * 0x100000001b3ull;
  return hash;
}

}  // namespace hecate
