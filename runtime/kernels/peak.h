#pragma once
#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate {
class Stream;
}

/// The machine's limits that rates are compared with.
namespace hecate::kernels {

/// Fused multiply-add rate of all compute threads of the stream together, in flop/s: independent
/// accumulators in registers, no memory. Takes about `seconds`.
double measure_peak_flops(Stream& s, double seconds);

/// Bytes read and written per second while all compute threads of the stream multiply `x` by 1 in
/// place, over and over for about `seconds`, once at least: no line is fetched only to be
/// overwritten. A view larger than the caches gives the memory's rate.
double measure_memory_rate(Stream& s, View<Real> x, double seconds);

}  // namespace hecate::kernels
