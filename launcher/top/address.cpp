#include "launcher/top/address.h"

#include <charconv>
#include <optional>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

std::optional<HostPort> read(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return std::nullopt;
  HostPort address{.host = text.substr(0, colon), .port = 0};
  if (address.host.find('/') != std::string::npos) return std::nullopt;
  if (address.host.front() == '[' && address.host.back() == ']')
    address.host = address.host.substr(1, address.host.size() - 2);
  else if (address.host.find(':') != std::string::npos)
    return std::nullopt;
  const char *begin = text.data() + colon + 1, *const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(begin, last, address.port);
  if (error != std::errc{} || end != last || address.port < 1 || address.port > 65535)
    return std::nullopt;
  return address;
}

}  // namespace

bool is_address(const std::string& text) {
  return read(text).has_value();
}

HostPort parse_address(const std::string& text) {
  const std::optional<HostPort> address = read(text);
  HECATE_CHECK(address, "'", text, "': expected HOST:PORT such as 127.0.0.1:9464");
  return *address;
}

}  // namespace hecate::launcher
