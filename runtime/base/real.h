#pragma once

namespace hecate {

/// The type of parameters, activations and gradients on the CPU: float, or double in the oracle
/// build (CMake option HECATE_REAL_DOUBLE), which proves gradients and placements to 1e-10.
#ifdef HECATE_REAL_DOUBLE
using Real = double;
#else
using Real = float;
#endif

}  // namespace hecate
