#include "launcher/train/device.h"

#include <span>

#include "runtime/base/error.h"
#include "runtime/device/cuda_device.h"

namespace hecate::launcher {
namespace {

constexpr int kOldest = 8;  // compute capability 8.0: the least that the kernels are compiled for

}  // namespace

DeviceKind device_kind(const DeviceConfig& device) {
  if (device.kind != "cuda") return DeviceKind::cpu;
  if (cuda::device_count() == 0)
    throw DeviceError(concat("device.kind = cuda: ", cuda::why_none(),
                             "; device.kind = cpu computes on this machine"));
  for (int index = 0; index < cuda::device_count(); ++index) {
    const cuda::DeviceInfo info = cuda::device_info(index);
    if (info.major < kOldest)
      throw DeviceError(concat("device.kind = cuda: device ", index, " (", info.name,
                               ") has compute capability ", info.major, ".", info.minor,
                               ", expected at least ", kOldest,
                               ".0; hide it with CUDA_VISIBLE_DEVICES"));
  }
  return DeviceKind::cuda;
}

int device_index_of(const Job& job) {
  int index = 0, ranks = 1;
  if (job.ranks() > 1) {
    const std::span<const int> nodes = job.world().nodes();
    const int mine = nodes[static_cast<size_t>(job.rank())];
    ranks = 0;
    for (int rank = 0; rank < job.ranks(); ++rank) {
      if (nodes[static_cast<size_t>(rank)] != mine) continue;
      if (rank < job.rank()) ++index;
      ++ranks;
    }
  }
  const int devices = cuda::device_count();
  if (ranks > devices)
    throw DeviceError(concat("device.kind = cuda: ", ranks, " ranks on this node and ", devices,
                             " CUDA devices; start at most one rank per device"));
  return index;
}

}  // namespace hecate::launcher
