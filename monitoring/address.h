#pragma once
#include <string>

namespace hecate::monitoring {

/// Where something listens.
struct Address {
  std::string host;  ///< an IP address as text
  int port = 0;
  bool loopback = false;

  bool ipv6() const { return host.find(':') != std::string::npos; }
  /// As text, which reads back as the same; the port moved by `offset`.
  std::string text(int offset = 0) const;
};

/// "127.0.0.1:9464", "[::1]:9464", "localhost:9464"; port 0: any that is free.
/// @throws InvalidArgument for anything else; host names other than localhost are not looked up.
Address parse_address(const std::string& text);

/// @throws InvalidArgument for an address that other machines can reach, unless
///   `allow_remote` (metrics.allow_remote).
void check_local(const Address& address, bool allow_remote);

}  // namespace hecate::monitoring
