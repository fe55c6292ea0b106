#pragma once

namespace hecate {
class Stream;
}

/// The machine's limit that rates are compared with.
namespace hecate::kernels {

/// Fused multiply-add rate of all compute threads of the stream together, in flop/s: independent
/// accumulators in registers, no memory. Takes about `seconds`.
double measure_peak_flops(Stream& s, double seconds);

}  // namespace hecate::kernels
