#include "launcher/report/load_trace_reader.h"

#include <algorithm>

#include "launcher/report/step_lines.h"
#include "runtime/base/error.h"
#include "runtime/io/npy.h"

namespace hecate::launcher {
namespace {

// Numbers on the page: a few bytes each.
constexpr int64_t kMostNumbers = 150000, kMostSteps = 160, kLeastSteps = 2;

template <class T>
monitoring::ExpertLoads summed(const io::NpyFile& file) {
  const std::vector<int64_t>& shape = file.shape();
  const int64_t ranks = shape[1], row = shape[2] * shape[3];
  monitoring::ExpertLoads loads;
  loads.experts = shape[3];
  for (int64_t layer = 0; layer < shape[2]; ++layer) loads.layers.push_back(layer);
  const int64_t most =
      std::clamp(kMostNumbers / std::max<int64_t>(1, row), kLeastSteps, kMostSteps);
  const std::span<const T> values = file.values<T>();
  for (const size_t step :
       chosen_evenly(static_cast<size_t>(shape[0]), static_cast<size_t>(most))) {
    loads.steps.push_back(static_cast<int64_t>(step) + 1);
    std::vector<int64_t> sums(static_cast<size_t>(row), 0);
    for (int64_t rank = 0; rank < ranks; ++rank)
      for (int64_t i = 0; i < row; ++i)
        sums[static_cast<size_t>(i)] +=
            values[static_cast<size_t>((static_cast<int64_t>(step) * ranks + rank) * row + i)];
    loads.counts.insert(loads.counts.end(), sums.begin(), sums.end());
  }
  return loads;
}

}  // namespace

std::optional<monitoring::ExpertLoads> read_load_trace(const std::filesystem::path& path,
                                                       std::vector<std::string>& notes) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  try {
    const io::NpyFile file(path);
    HECATE_CHECK(file.shape().size() == 4 && (file.type() == "<u2" || file.type() == "<u4"),
                 path.string(), ": expected counts [step, rank, layer, expert]");
    if (file.shape()[0] == 0) return std::nullopt;
    return file.type() == "<u2" ? summed<uint16_t>(file) : summed<uint32_t>(file);
  } catch (const InvalidArgument& problem) {
    notes.push_back(concat("loads.npy: left out: ", problem.what()));
    return std::nullopt;
  }
}

}  // namespace hecate::launcher
