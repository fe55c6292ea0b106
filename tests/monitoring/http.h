#pragma once
#include <string>
#include <string_view>

#include "monitoring/address.h"

namespace hecate::monitoring {

/// A TCP connection of a test; closed at the end.
class Connection {
 public:
  /// Connects; check open().
  explicit Connection(const Address& address, double timeout_seconds = 10);
  ~Connection();
  Connection(Connection&& other) noexcept : socket_(other.socket_) { other.socket_ = -1; }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  Connection& operator=(Connection&&) = delete;

  bool open() const { return socket_ >= 0; }
  /// @return whether all of it went.
  bool send(std::string_view text) const;
  /// Everything until the other side closes, or the timeout.
  std::string receive() const;

 private:
  int socket_;
};

/// The body of GET /metrics; empty if there is no good answer in time.
std::string scrape(const Address& address, double timeout_seconds = 10);

/// Takes connections one by one on a free loopback port and reads a whole request of each.
class TinyServer {
 public:
  TinyServer();
  ~TinyServer();
  TinyServer(const TinyServer&) = delete;
  TinyServer& operator=(const TinyServer&) = delete;

  Address address() const;
  /// The next request, head and body. @param answer sent back; empty: the connection stays open,
  ///   without one, as long as the object.
  std::string take(std::string_view answer);

 private:
  int socket_, held_ = -1;
};

}  // namespace hecate::monitoring
