#include "launcher/version.h"

#include "launcher/build_info.h"
#include "runtime/base/error.h"
#include "runtime/base/real.h"
#include "runtime/kernels/cpu/isa.h"

namespace hecate::launcher {

std::string version_number() {
  return build_info::kVersion;
}

std::string commit() {
  return build_info::commit();
}

std::string version_text() {
  return concat("hecate ", version_number(), "\ncommit: ", commit(),
                "\ncompiler: ", build_info::kCompiler, ", ", build_info::kBuildType,
                "\nreal: ", sizeof(Real) == 4 ? "f32" : "f64", "\nmpi: ", build_info::kMpi,
                "\nnccl: ", build_info::kNccl, "\ncuda: ", build_info::kCuda,
                "\nblas: ", build_info::kBlas,
                "\nisa: ", kernels::cpu::name_of(kernels::cpu::active_isa()), "\n");
}

}  // namespace hecate::launcher
