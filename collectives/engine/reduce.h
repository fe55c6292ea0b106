#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "collectives/reduce_op.h"
#include "runtime/tensor/dtype.h"

namespace hecate::collectives {

/// One resolved input or output of a reduction.
struct Source {
  const std::byte* data = nullptr;
  bool wide = false;
};

/// output[i] = ((in0[i] op in1[i]) op in2[i]) ..., left to right, in the accumulator's type (f32
/// for bf16) and rounded once when `output_wide` is false. `output` may be any of the inputs.
/// A single input is copied (and converted). Types: all but u8, u16, which only copy.
/// @throws InvalidArgument for an arithmetic reduction of u8 or u16.
void reduce_in_order(DType type, ReduceOp op, std::span<const Source> inputs, std::byte* output,
                     bool output_wide, int64_t count);

}  // namespace hecate::collectives
