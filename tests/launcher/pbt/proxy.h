#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

namespace hecate::launcher {

/// Passes TCP connections on to another address, until it is told to let nothing through.
class Proxy {
 public:
  /// @param target "127.0.0.1:PORT".
  explicit Proxy(const std::string& target);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  std::string address() const;
  /// Bytes stay where they are; new connections are not answered.
  void stall() { stalled_ = true; }
  void flow() { stalled_ = false; }
  int connections() const { return connections_; }

 private:
  void serve();

  uint16_t target_, port_ = 0;
  int listener_ = -1;
  std::atomic<bool> stalled_{false}, ended_{false};
  std::atomic<int> connections_{0};
  std::thread thread_;
};

}  // namespace hecate::launcher
