#pragma once
#include <string_view>

/// Which build of the SIMD kernels runs. The sources under cpu/simd/ are compiled once per
/// instruction set; the choice is made once per process from the CPU and the environment variable
/// HECATE_ISA (baseline, avx2 or avx512), which can only lower it. It is part of a run's identity:
/// sums are ordered by vector width.
namespace hecate::kernels::cpu {

enum class Isa { baseline, avx2, avx512 };

/// @throws InvalidArgument at the first call if HECATE_ISA names something unknown or beyond the
///   machine.
Isa active_isa();
std::string_view name_of(Isa isa);

}  // namespace hecate::kernels::cpu

/// Calls hecate::kernels::cpu::<isa>::function(args...) of the active instruction set.
#define HECATE_ISA_CALL(function, ...)                                         \
  (::hecate::kernels::cpu::active_isa() == ::hecate::kernels::cpu::Isa::avx512 \
       ? ::hecate::kernels::cpu::avx512::function(__VA_ARGS__)                 \
   : ::hecate::kernels::cpu::active_isa() == ::hecate::kernels::cpu::Isa::avx2 \
       ? ::hecate::kernels::cpu::avx2::function(__VA_ARGS__)                   \
       : ::hecate::kernels::cpu::baseline::function(__VA_ARGS__))
