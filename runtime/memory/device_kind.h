#pragma once
#include <cstdint>

namespace hecate {

enum class DeviceKind : uint8_t { cpu, cuda };

}  // namespace hecate
