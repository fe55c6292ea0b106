#pragma once

/// Marks functions that host and device code share.
#if defined(__CUDACC__)
#define HECATE_HOST_DEVICE __host__ __device__
#else
#define HECATE_HOST_DEVICE
#endif
