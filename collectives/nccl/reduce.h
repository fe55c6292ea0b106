#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>

#include "collectives/engine/reduce.h"

namespace hecate::collectives::nccl {

/// Inputs that one step can have.
inline constexpr size_t kMostSources = 128;

/// reduce_in_order (collectives/engine/reduce.h) on device memory, with the same bits; enqueued on
/// `stream`. @throws InvalidArgument as there, and for more than kMostSources inputs; DeviceError
/// when the launch fails.
void reduce_on_device(cudaStream_t stream, DType type, ReduceOp op, std::span<const Source> inputs,
                      std::byte* output, bool output_wide, int64_t count);

}  // namespace hecate::collectives::nccl
