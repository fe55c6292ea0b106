// Sums in one order: each thread folds its elements over the inputs, left to right, in the
// accumulator's type. Memory bound; neighbouring threads take neighbouring elements.
#include <algorithm>

#include "collectives/engine/combine.h"
#include "collectives/nccl/device.h"
#include "collectives/nccl/reduce.h"
#include "runtime/base/error.h"

namespace hecate::collectives::nccl {
namespace {

struct Sources {
  const void* data[kMostSources];
  bool wide[kMostSources];
  int count;
};

__device__ float widened(bf16 value) {
  return __uint_as_float(static_cast<uint32_t>(value.bits) << 16);
}
template <class T>
__device__ T widened(T value) {
  return value;
}

// bf16's rounding on the host, bit for bit.
template <class Narrow>
__device__ Narrow narrowed(float value) {
  if constexpr (std::is_same_v<Narrow, bf16>) {
    const uint32_t word = __float_as_uint(value);
    const bool nan = (word & 0x7fffffffu) > 0x7f800000u;
    bf16 result;
    result.bits = nan ? static_cast<uint16_t>((word >> 16) | 0x40u)
                      : static_cast<uint16_t>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
    return result;
  } else {
    return value;
  }
}
template <class Narrow, class Wide>
requires(!std::is_same_v<Wide, float>) __device__ Narrow narrowed(Wide value) {
  return value;
}

template <class Wide, class Narrow>
__device__ Wide load(const Sources& sources, int source, int64_t i) {
  if (sources.wide[source]) return static_cast<const Wide*>(sources.data[source])[i];
  return widened(static_cast<const Narrow*>(sources.data[source])[i]);
}

template <ReduceOp op, class Wide, class Narrow>
__global__ void fold(const __grid_constant__ Sources sources, void* output, bool output_wide,
                     int64_t count) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += stride) {
    Wide sum = load<Wide, Narrow>(sources, 0, i);
    for (int s = 1; s < sources.count; ++s)
      sum = combine<op>(sum, load<Wide, Narrow>(sources, s, i));
    if (output_wide) {
      static_cast<Wide*>(output)[i] = sum;
    } else {
      static_cast<Narrow*>(output)[i] = narrowed<Narrow>(sum);
    }
  }
}

template <class Wide, class Narrow>
void launch(cudaStream_t stream, ReduceOp op, const Sources& sources, void* output,
            bool output_wide, int64_t count) {
  constexpr int kThreads = 256;
  constexpr int64_t kMostBlocks = 1024;  // fills any device; each thread then takes several
  const auto blocks =
      static_cast<unsigned>(std::min((count + kThreads - 1) / kThreads, kMostBlocks));
  switch (op) {
    case ReduceOp::sum:
      fold<ReduceOp::sum, Wide, Narrow>
          <<<blocks, kThreads, 0, stream>>>(sources, output, output_wide, count);
      break;
    case ReduceOp::max:
      fold<ReduceOp::max, Wide, Narrow>
          <<<blocks, kThreads, 0, stream>>>(sources, output, output_wide, count);
      break;
    case ReduceOp::min:
      fold<ReduceOp::min, Wide, Narrow>
          <<<blocks, kThreads, 0, stream>>>(sources, output, output_wide, count);
      break;
  }
  check_cuda(cudaGetLastError(), "launching a reduction");
}

void copy(cudaStream_t stream, const Source& source, std::byte* output, int64_t bytes) {
  if (source.data != output)
    check_cuda(cudaMemcpyAsync(output, source.data, static_cast<size_t>(bytes),
                               cudaMemcpyDeviceToDevice, stream),
               "cudaMemcpyAsync");
}

}  // namespace

void reduce_on_device(cudaStream_t stream, DType type, ReduceOp op, std::span<const Source> inputs,
                      std::byte* output, bool output_wide, int64_t count) {
  HECATE_CHECK(!inputs.empty() && inputs.size() <= kMostSources, "reduction of ", inputs.size(),
               " inputs on a device, expected 1 to ", kMostSources);
  if (count == 0) return;
  const bool same = type != DType::bf16 || inputs[0].wide == output_wide;
  if (inputs.size() == 1 && same) {
    const bool wide = type == DType::bf16 && output_wide;
    return copy(stream, inputs[0], output,
                count * static_cast<int64_t>(wide ? sizeof(float) : size_of(type)));
  }
  Sources sources{};
  sources.count = static_cast<int>(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    sources.data[i] = inputs[i].data;
    sources.wide[i] = inputs[i].wide;
  }
  switch (type) {
    case DType::f32:
      return launch<float, float>(stream, op, sources, output, output_wide, count);
    case DType::f64:
      return launch<double, double>(stream, op, sources, output, output_wide, count);
    case DType::bf16:
      return launch<float, bf16>(stream, op, sources, output, output_wide, count);
    case DType::i32:
      return launch<int32_t, int32_t>(stream, op, sources, output, output_wide, count);
    case DType::i64:
      return launch<int64_t, int64_t>(stream, op, sources, output, output_wide, count);
    case DType::u16:
    case DType::u8:
      break;
  }
  throw InvalidArgument(concat("reduce: no arithmetic on ", name_of(type)));
}

}  // namespace hecate::collectives::nccl
