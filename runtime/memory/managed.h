#pragma once
#include <cstddef>

namespace hecate::cuda {

/// Memory that the host and CUDA devices address alike (managed); at least 256-byte aligned,
/// uninitialised. The host may touch it only while no kernel that uses it runs.
/// @throws DeviceError with the bytes asked for and free; always in a build without CUDA.
std::byte* allocate_managed(size_t bytes);
void release_managed(std::byte* block) noexcept;

}  // namespace hecate::cuda
