#include "collectives/nccl/nccl.h"
#include "runtime/base/error.h"

namespace hecate::collectives::nccl {

bool available() {
  return false;
}

std::string version() {
  return "off";
}

int devices() {
  return 0;
}

Communicator create(const Communicator&, const CommunicatorOptions&, const Options&) {
  throw CommError("this build has no NCCL (configure with HECATE_WITH_NCCL=ON)");
}

void use_stream(const Communicator&, void*) {
  throw CommError("this build has no NCCL");
}

}  // namespace hecate::collectives::nccl
