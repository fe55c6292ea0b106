#include "runtime/kernels/cpu/isa.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "runtime/base/error.h"

namespace hecate::kernels::cpu {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"baseline", "avx2", "avx512"};

Isa best_isa() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return Isa::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
  return Isa::baseline;
}

Isa choose_isa() {
  const Isa best = best_isa();
  const char* wanted = std::getenv("HECATE_ISA");
  if (wanted == nullptr || *wanted == '\0') return best;
  const auto* found = std::find(kNames.begin(), kNames.end(), wanted);
  HECATE_CHECK(found != kNames.end(), "HECATE_ISA is '", wanted,
               "': expected baseline, avx2 or avx512");
  const auto isa = static_cast<Isa>(found - kNames.begin());
  HECATE_CHECK(isa <= best, "HECATE_ISA is '", wanted, "' but this CPU has only ", name_of(best));
  return isa;
}

}  // namespace

Isa active_isa() {
  static const Isa isa = choose_isa();
  return isa;
}

std::string_view name_of(Isa isa) {
  return kNames[static_cast<size_t>(isa)];
}

}  // namespace hecate::kernels::cpu
