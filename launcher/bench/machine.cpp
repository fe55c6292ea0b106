#include "launcher/bench/machine.h"

#include <fstream>

namespace hecate::launcher {

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

}  // namespace hecate::launcher
