#include "collectives/nccl/nccl.h"

#include <numeric>

#include "collectives/nccl/nccl_communicator.h"
#include "runtime/base/error.h"

namespace hecate::collectives::nccl {

bool available() {
  return true;
}

std::string version() {
  int code = 0;
  check_nccl(ncclGetVersion(&code), "ncclGetVersion");
  return concat(code / 10000, ".", code / 100 % 100, ".", code % 100);
}

int devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();  // no driver, or no device
  return 0;
}

Communicator create(const Communicator& bootstrap, const CommunicatorOptions& options,
                    const Options& nccl_options) {
  HECATE_CHECK(bootstrap.backend_name() != "nccl", "nccl: needs another backend to connect with");
  HECATE_CHECK(nccl_options.segment_bytes >= 64, "nccl: segments of ", nccl_options.segment_bytes,
               " bytes, expected at least 64");
  const int count = devices();
  if (nccl_options.device < 0 || nccl_options.device >= count)
    throw DeviceError(concat("nccl: device ", nccl_options.device, " of ", count));
  const DeviceScope scope(nccl_options.device);
  keep_freed_memory(nccl_options.device);
  auto state =
      std::make_shared<RankState>(options, nccl_options, bootstrap.rank(), bootstrap.size());
  std::vector<int> ranks(static_cast<size_t>(bootstrap.size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  return Communicator(std::make_shared<NcclCommunicator>(
      std::move(state), bootstrap.on_lane(bootstrap.lane()), std::move(ranks)));
}

void use_stream(const Communicator& communicator, void* stream) {
  auto* backend = dynamic_cast<NcclCommunicator*>(&communicator.backend());
  HECATE_CHECK(backend != nullptr, "nccl::use_stream: a communicator of ",
               communicator.backend_name());
  backend->use_stream(static_cast<cudaStream_t>(stream));
}

}  // namespace hecate::collectives::nccl
