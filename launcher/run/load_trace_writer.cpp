#include "launcher/run/load_trace_writer.h"

#include <array>
#include <cstring>
#include <limits>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

bool fits_16_bits(const LoadTraceShape& shape) {
  return shape.tokens <= std::numeric_limits<uint16_t>::max();
}

}  // namespace

LoadTraceWriter::LoadTraceWriter(const std::filesystem::path& path, const LoadTraceShape& shape,
                                 int64_t step)
    : shape_(shape),
      narrow_(fits_16_bits(shape)),
      file_(path, narrow_ ? "<u2" : "<u4", std::array{shape.ranks, shape.layers, shape.experts},
            step),
      row_(static_cast<size_t>(file_.row_bytes())) {}

void LoadTraceWriter::append(std::span<const int64_t> counts) {
  const int64_t expected = shape_.ranks * shape_.layers * shape_.experts;
  HECATE_CHECK(static_cast<int64_t>(counts.size()) == expected, "load trace: ", counts.size(),
               " counts, expected ", shape_.ranks, " ranks x ", shape_.layers, " layers x ",
               shape_.experts, " experts");
  for (const int64_t count : counts)
    HECATE_CHECK(0 <= count && count <= shape_.tokens, "load trace: a count of ", count, " of ",
                 shape_.tokens, " tokens");
  narrow_ ? append_as<uint16_t>(counts) : append_as<uint32_t>(counts);
}

template <class T>
void LoadTraceWriter::append_as(std::span<const int64_t> counts) {
  for (size_t i = 0; i < counts.size(); ++i) {
    const auto count = static_cast<T>(counts[i]);
    std::memcpy(row_.data() + i * sizeof count, &count, sizeof count);
  }
  file_.append(row_);
}

}  // namespace hecate::launcher
