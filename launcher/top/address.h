#pragma once
#include <string>

namespace hecate::launcher {

struct HostPort {
  std::string host;
  int port = 0;
};

/// Whether it is HOST:PORT (or [HOST]:PORT) with a port of 1 to 65535.
bool is_address(const std::string& text);
/// @throws InvalidArgument where it is none.
HostPort parse_address(const std::string& text);

}  // namespace hecate::launcher
