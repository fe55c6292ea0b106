#pragma once
#include <cstddef>
#include <memory>
#include <string>

#include "runtime/device/stream.h"

/// CUDA devices, for code that knows no CUDA type. A build without CUDA has stubs: no device is
/// found, and everything else throws DeviceError saying so.
namespace hecate::cuda {

struct DeviceInfo {
  std::string name;          ///< e.g. "NVIDIA H200"
  int major = 0, minor = 0;  ///< compute capability
  size_t memory_bytes = 0;
};

/// Devices that this process can use; 0 without CUDA, driver or device. Never throws.
int device_count() noexcept;
/// Why device_count() is 0, in words; empty otherwise.
std::string why_none();
/// @throws DeviceError if there is no device `index`.
DeviceInfo device_info(int index);

/// A stream of device `index`; higher `priority` first. Kernels launch in order and asynchronously.
/// @param blocking every launch waits for its end, so that an error is found where it arises and
///   the host may read results at once.
std::unique_ptr<Stream> make_stream(int index, bool urgent = false, bool blocking = false);

}  // namespace hecate::cuda
