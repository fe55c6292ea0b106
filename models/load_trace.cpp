#include "models/routing_source.h"
#include "runtime/base/error.h"
#include "runtime/io/npy.h"

namespace hecate::models {

LoadTrace read_load_trace(const std::string& path) {
  const io::NpyFile file(path);
  const std::vector<int64_t>& shape = file.shape();
  HECATE_CHECK(shape.size() == 4, path,
               ": expected four dimensions [step, rank, layer, expert], got ", shape.size());
  LoadTrace trace{.samples = shape[0],
                  .ranks = shape[1],
                  .layers = shape[2],
                  .experts = shape[3],
                  .counts = {}};
  HECATE_CHECK(trace.samples * trace.ranks * trace.layers * trace.experts > 0, path,
               ": empty trace");
  const auto take = [&](const auto& values) { trace.counts.assign(values.begin(), values.end()); };
  HECATE_CHECK(file.type() == "<u2" || file.type() == "<u4", path,
               ": expected uint16 or uint32 counts, got ", file.type());
  file.type() == "<u2" ? take(file.values<uint16_t>()) : take(file.values<uint32_t>());
  return trace;
}

}  // namespace hecate::models
