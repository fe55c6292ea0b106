#include "collectives/bench/trace.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>

#include "runtime/base/error.h"

namespace hecate::collectives::bench {

std::vector<double> trace_loads(const std::string& path, int iteration, int layer) {
  constexpr int kRanks = 16, kLayers = 24, kExperts = 32;
  std::ifstream file(path, std::ios::binary);
  std::array<char, 10> head{};
  file.read(head.data(), head.size());
  if (!file || std::memcmp(head.data(), "\x93NUMPY", 6) != 0)
    throw IoError(concat("no .npy trace at ", path));
  const int header_bytes =
      static_cast<unsigned char>(head[8]) + 256 * static_cast<unsigned char>(head[9]);
  std::string header(static_cast<size_t>(header_bytes), ' ');
  file.read(header.data(), header_bytes);
  if (header.find("'<u2'") == std::string::npos || header.find("16, 24, 32)") == std::string::npos)
    throw IoError(concat(path, " is no trace of 16 ranks, 24 layers and 32 experts in uint16"));
  std::vector<double> loads(kExperts / 2);
  for (int rank = 0; rank < kRanks; ++rank) {
    std::array<uint16_t, kExperts> row{};
    const int64_t at =
        ((static_cast<int64_t>(iteration) * kRanks + rank) * kLayers + layer) * kExperts;
    file.seekg(static_cast<int64_t>(head.size()) + header_bytes + at * 2);
    file.read(reinterpret_cast<char*>(row.data()), sizeof row);
    if (!file) throw IoError(concat(path, " ends before iteration ", iteration));
    for (size_t e = 0; e < row.size(); ++e) loads[e / 2] += row[e];
  }
  return loads;
}

}  // namespace hecate::collectives::bench
