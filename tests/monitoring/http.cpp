#include "tests/monitoring/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <stdexcept>

namespace hecate::monitoring {
namespace {

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void limit(int socket, double seconds) {
  timeval time{};
  time.tv_sec = static_cast<time_t>(seconds);
  time.tv_usec = static_cast<suseconds_t>(1e6 * (seconds - std::floor(seconds)));
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
}

std::string receive_some(int socket) {
  std::array<char, 4096> part{};
  const ssize_t count = ::recv(socket, part.data(), part.size(), 0);
  return count > 0 ? std::string(part.data(), static_cast<size_t>(count)) : std::string();
}

size_t content_length(const std::string& head) {
  const size_t at = head.find("Content-Length: ");
  return at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
}

}  // namespace

Connection::Connection(const Address& address, double timeout_seconds)
    : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  limit(socket_, timeout_seconds);
  const sockaddr_in to = loopback(address.port);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) == 0) return;
  ::close(socket_);
  socket_ = -1;
}

Connection::~Connection() {
  if (socket_ >= 0) ::close(socket_);
}

bool Connection::send(std::string_view text) const {
  return ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL) == std::ssize(text);
}

std::string Connection::receive() const {
  std::string all;
  for (std::string part = receive_some(socket_); !part.empty(); part = receive_some(socket_))
    all += part;
  return all;
}

std::string scrape(const Address& address, double timeout_seconds) {
  const Connection connection(address, timeout_seconds);
  if (!connection.open() || !connection.send("GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n"))
    return {};
  const std::string answer = connection.receive();
  const size_t body = answer.find("\r\n\r\n");
  return answer.starts_with("HTTP/1.1 200") && body != std::string::npos ? answer.substr(body + 4)
                                                                         : std::string();
}

TinyServer::TinyServer() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const sockaddr_in any = loopback(0);
  if (::bind(socket_, reinterpret_cast<const sockaddr*>(&any), sizeof(any)) != 0 ||
      ::listen(socket_, 16) != 0)
    throw std::runtime_error("no free port");
  limit(socket_, 20);
}

TinyServer::~TinyServer() {
  ::close(socket_);
  if (held_ >= 0) ::close(held_);
}

Address TinyServer::address() const {
  sockaddr_in bound{};
  socklen_t length = sizeof(bound);
  ::getsockname(socket_, reinterpret_cast<sockaddr*>(&bound), &length);
  return {.host = "127.0.0.1", .port = ntohs(bound.sin_port), .loopback = true};
}

std::string TinyServer::take(std::string_view answer) {
  const int taken = ::accept(socket_, nullptr, nullptr);
  if (taken < 0) return {};
  limit(taken, 10);
  std::string request;
  while (true) {
    const size_t head = request.find("\r\n\r\n");
    if (head != std::string::npos && request.size() >= head + 4 + content_length(request)) break;
    const std::string part = receive_some(taken);
    if (part.empty()) break;
    request += part;
  }
  if (answer.empty()) {
    held_ = taken;
    return request;
  }
  ::send(taken, answer.data(), answer.size(), MSG_NOSIGNAL);
  ::close(taken);
  return request;
}

}  // namespace hecate::monitoring
