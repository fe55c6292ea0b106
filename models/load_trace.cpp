#include <fstream>
#include <regex>

#include "models/routing_source.h"
#include "runtime/base/error.h"

namespace hecate::models {
namespace {

// Reads the textual header of a version 1 to 3 .npy file.
std::string read_header(std::ifstream& file, const std::string& path) {
  char magic[8] = {};
  file.read(magic, sizeof magic);
  HECATE_CHECK(file && std::string_view(magic, 6) == "\x93NUMPY", path,
               ": expected a NumPy .npy file");
  uint32_t length = 0;
  file.read(reinterpret_cast<char*>(&length), magic[6] == 1 ? 2 : 4);
  HECATE_CHECK(file && length < (1u << 20), path, ": damaged .npy header");
  std::string header(length, ' ');
  file.read(header.data(), length);
  HECATE_CHECK(static_cast<bool>(file), path, ": truncated .npy header");
  return header;
}

template <class T>
std::vector<uint32_t> read_counts(std::ifstream& file, const std::string& path, int64_t size) {
  std::vector<T> raw(static_cast<size_t>(size));
  file.read(reinterpret_cast<char*>(raw.data()),
            static_cast<std::streamsize>(raw.size() * sizeof(T)));
  HECATE_CHECK(static_cast<bool>(file), path, ": truncated; expected ", size, " counts");
  return {raw.begin(), raw.end()};
}

}  // namespace

LoadTrace read_load_trace(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw IoError(concat("router.source: cannot open ", path));
  const std::string header = read_header(file, path);
  static const std::regex shape_pattern(R"('shape': \((\d+), (\d+), (\d+), (\d+),?\))");
  std::smatch match;
  HECATE_CHECK(std::regex_search(header, match, shape_pattern), path,
               ": expected four dimensions [step, rank, layer, expert], header ", header);
  HECATE_CHECK(header.find("'fortran_order': False") != std::string::npos, path,
               ": expected C order");
  LoadTrace trace{.samples = std::stoll(match[1]),
                  .ranks = std::stoll(match[2]),
                  .layers = std::stoll(match[3]),
                  .experts = std::stoll(match[4]),
                  .counts = {}};
  const int64_t size = trace.samples * trace.ranks * trace.layers * trace.experts;
  HECATE_CHECK(size > 0, path, ": empty trace");
  if (header.find("'<u2'") != std::string::npos)
    trace.counts = read_counts<uint16_t>(file, path, size);
  else if (header.find("'<u4'") != std::string::npos)
    trace.counts = read_counts<uint32_t>(file, path, size);
  else
    throw InvalidArgument(concat(path, ": expected uint16 or uint32 counts, header ", header));
  return trace;
}

}  // namespace hecate::models
