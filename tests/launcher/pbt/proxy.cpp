#include "tests/launcher/pbt/proxy.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <utility>
#include <vector>

namespace hecate::launcher {
namespace {

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// @return whether the connection is still there.
bool pass(int from, int to) {
  std::array<char, 1 << 16> bytes;
  const ssize_t count = ::recv(from, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (count < 0) return errno == EAGAIN;
  if (count == 0) return false;
  for (ssize_t sent = 0; sent < count;) {
    const ssize_t some =
        ::send(to, bytes.data() + sent, static_cast<size_t>(count - sent), MSG_NOSIGNAL);
    if (some <= 0) return false;
    sent += some;
  }
  return true;
}

}  // namespace

Proxy::Proxy(const std::string& target)
    : target_(static_cast<uint16_t>(std::stoi(target.substr(target.rfind(':') + 1)))) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
  ::listen(listener_, 16);
  ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

Proxy::~Proxy() {
  ended_ = true;
  thread_.join();
  ::close(listener_);
}

std::string Proxy::address() const {
  return "127.0.0.1:" + std::to_string(port_);
}

void Proxy::serve() {
  std::vector<std::pair<int, int>> pairs;
  while (!ended_) {
    if (stalled_) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      continue;
    }
    std::vector<pollfd> events = {{listener_, POLLIN, 0}};
    for (const auto& [near, far] : pairs) {
      events.push_back({near, POLLIN, 0});
      events.push_back({far, POLLIN, 0});
    }
    ::poll(events.data(), events.size(), 10);
    if ((events[0].revents & POLLIN) != 0) {
      const int near = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      const int far = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const sockaddr_in address = loopback(target_);
      if (::connect(far, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
        ++connections_;
        pairs.emplace_back(near, far);
      } else {
        ::close(near);
        ::close(far);
      }
    }
    std::erase_if(pairs, [](const std::pair<int, int>& pair) {
      if (pass(pair.first, pair.second) && pass(pair.second, pair.first)) return false;
      ::close(pair.first);
      ::close(pair.second);
      return true;
    });
  }
  for (const auto& [near, far] : pairs) {
    ::close(near);
    ::close(far);
  }
}

}  // namespace hecate::launcher
