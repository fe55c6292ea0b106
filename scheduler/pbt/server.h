#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "scheduler/pbt/coordinator.h"

namespace hecate::pbt {

struct Address {
  std::string host;
  uint16_t port = 0;
};
/// "HOST:PORT", "[v6]:PORT". @throws InvalidArgument for anything else.
Address parse_address(const std::string& text);

/// The coordinator on a TCP port. One thread, the caller's; what waits costs no processor time.
class Server {
 public:
  /// Listens. @param address port 0 takes a free one.
  /// @throws InvalidArgument for an address beyond this machine (anything but loopback) without a
  ///   token; CommError if it cannot be listened on.
  Server(Coordinator& coordinator, const Address& address, const std::string& token);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t port() const;
  /// Serves for this long. @throws IoError from Coordinator::commit.
  void run_for(std::chrono::milliseconds duration);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hecate::pbt
