#pragma once
#include <string>

namespace hecate::launcher {

/// The processor's name as the system gives it, or "unknown".
std::string cpu_name();

}  // namespace hecate::launcher
