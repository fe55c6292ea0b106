#include "collectives/engine/reduce.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "collectives/engine/combine.h"
#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

constexpr int64_t kBlock = 1024;

template <class Wide, class Narrow>
void load(Wide* __restrict accumulator, const Source& source, int64_t begin, int64_t n) {
  if constexpr (!std::is_same_v<Wide, Narrow>) {
    if (!source.wide) {
      const Narrow* __restrict in = reinterpret_cast<const Narrow*>(source.data) + begin;
      for (int64_t i = 0; i < n; ++i) accumulator[i] = static_cast<Wide>(in[i]);
      return;
    }
  }
  std::memcpy(accumulator, reinterpret_cast<const Wide*>(source.data) + begin,
              static_cast<size_t>(n) * sizeof(Wide));
}

template <ReduceOp op, class Wide, class Narrow>
void fold(Wide* __restrict accumulator, const Source& source, int64_t begin, int64_t n) {
  if (source.wide || std::is_same_v<Wide, Narrow>) {
    const Wide* __restrict in = reinterpret_cast<const Wide*>(source.data) + begin;
    for (int64_t i = 0; i < n; ++i) accumulator[i] = combine<op>(accumulator[i], in[i]);
  } else {
    const Narrow* __restrict in = reinterpret_cast<const Narrow*>(source.data) + begin;
    for (int64_t i = 0; i < n; ++i)
      accumulator[i] = combine<op>(accumulator[i], static_cast<Wide>(in[i]));
  }
}

template <class Wide, class Narrow>
void store(const Wide* __restrict accumulator, std::byte* output, bool wide, int64_t begin,
           int64_t n) {
  if (wide || std::is_same_v<Wide, Narrow>) {
    std::memcpy(reinterpret_cast<Wide*>(output) + begin, accumulator,
                static_cast<size_t>(n) * sizeof(Wide));
  } else {
    Narrow* __restrict out = reinterpret_cast<Narrow*>(output) + begin;
    for (int64_t i = 0; i < n; ++i) out[i] = static_cast<Narrow>(accumulator[i]);
  }
}

template <ReduceOp op, class Wide, class Narrow>
void reduce_typed(std::span<const Source> inputs, std::byte* output, bool output_wide,
                  int64_t count) {
  std::array<Wide, kBlock> accumulator;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t n = std::min(kBlock, count - begin);
    load<Wide, Narrow>(accumulator.data(), inputs[0], begin, n);
    for (const Source& source : inputs.subspan(1))
      fold<op, Wide, Narrow>(accumulator.data(), source, begin, n);
    store<Wide, Narrow>(accumulator.data(), output, output_wide, begin, n);
  }
}

template <class Wide, class Narrow>
void reduce_with(ReduceOp op, std::span<const Source> inputs, std::byte* output, bool output_wide,
                 int64_t count) {
  switch (op) {
    case ReduceOp::sum:
      return reduce_typed<ReduceOp::sum, Wide, Narrow>(inputs, output, output_wide, count);
    case ReduceOp::max:
      return reduce_typed<ReduceOp::max, Wide, Narrow>(inputs, output, output_wide, count);
    case ReduceOp::min:
      return reduce_typed<ReduceOp::min, Wide, Narrow>(inputs, output, output_wide, count);
  }
}

}  // namespace

std::string_view name_of(ReduceOp op) {
  constexpr std::array<std::string_view, 3> kNames = {"sum", "max", "min"};
  return kNames[static_cast<size_t>(op)];
}

void reduce_in_order(DType type, ReduceOp op, std::span<const Source> inputs, std::byte* output,
                     bool output_wide, int64_t count) {
  const bool same = type != DType::bf16 || inputs[0].wide == output_wide;
  if (inputs.size() == 1 && same) {
    const size_t width = type == DType::bf16 && output_wide ? sizeof(float) : size_of(type);
    if (inputs[0].data != output)
      std::memmove(output, inputs[0].data, static_cast<size_t>(count) * width);
    return;
  }
  switch (type) {
    case DType::f32:
      return reduce_with<float, float>(op, inputs, output, output_wide, count);
    case DType::f64:
      return reduce_with<double, double>(op, inputs, output, output_wide, count);
    case DType::bf16:
      return reduce_with<float, bf16>(op, inputs, output, output_wide, count);
    case DType::i32:
      return reduce_with<int32_t, int32_t>(op, inputs, output, output_wide, count);
    case DType::i64:
      return reduce_with<int64_t, int64_t>(op, inputs, output, output_wide, count);
    case DType::u16:
    case DType::u8:
      break;
  }
  throw InvalidArgument(concat("reduce: no arithmetic on ", name_of(type)));
}

}  // namespace hecate::collectives
