#include "monitoring/address.h"

#include <arpa/inet.h>

#include <array>
#include <charconv>

#include "runtime/base/error.h"

namespace hecate::monitoring {
namespace {

constexpr int kMaxPort = 65535;

bool is_loopback(const std::string& host, bool ipv6) {
  if (ipv6) {
    in6_addr address{};
    ::inet_pton(AF_INET6, host.c_str(), &address);
    return IN6_IS_ADDR_LOOPBACK(&address);
  }
  in_addr address{};
  ::inet_pton(AF_INET, host.c_str(), &address);
  return (ntohl(address.s_addr) >> 24) == IN_LOOPBACKNET;
}

bool is_address(const std::string& host, bool ipv6) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return ::inet_pton(ipv6 ? AF_INET6 : AF_INET, host.c_str(), bytes.data()) == 1;
}

}  // namespace

std::string Address::text(int offset) const {
  return (ipv6() ? "[" + host + "]" : host) + ":" + std::to_string(port + offset);
}

Address parse_address(const std::string& text) {
  const auto refuse = [&](const char* why) {
    throw InvalidArgument(
        concat("address \"", text, "\": ", why, "; expected IP:PORT, as in 127.0.0.1:9464"));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) refuse("no port");
  Address address;
  const std::string digits = text.substr(colon + 1);
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), address.port);
  if (error != std::errc() || end != digits.data() + digits.size() || address.port < 0 ||
      address.port > kMaxPort)
    refuse("not a port from 0 to 65535");
  address.host = text.substr(0, colon);
  if (address.host == "localhost") address.host = "127.0.0.1";
  const bool bracketed =
      address.host.size() > 2 && address.host.front() == '[' && address.host.back() == ']';
  if (bracketed) address.host = address.host.substr(1, address.host.size() - 2);
  if (!is_address(address.host, bracketed)) refuse("not an IP address");
  address.loopback = is_loopback(address.host, bracketed);
  return address;
}

void check_local(const Address& address, bool allow_remote) {
  HECATE_CHECK(address.loopback || allow_remote, "metrics.address = ", address.text(),
               " can be reached from other machines, and whoever reaches it reads everything: "
               "expected a loopback address such as 127.0.0.1:",
               address.port, ", or metrics.allow_remote = true");
}

}  // namespace hecate::monitoring
