#pragma once
#include <cstdint>

/// Multiply-adds in registers, one copy per instruction set. Adds something to *sink; returns the
/// floating-point operations done.
namespace hecate::kernels::cpu {
namespace baseline {
int64_t fma_rounds(int64_t rounds, double* sink);
}
namespace avx2 {
int64_t fma_rounds(int64_t rounds, double* sink);
}
namespace avx512 {
int64_t fma_rounds(int64_t rounds, double* sink);
}
}  // namespace hecate::kernels::cpu
