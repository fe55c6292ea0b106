#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "scheduler/pbt/coordinator.h"
#include "scheduler/pbt/server.h"

namespace hecate::pbt {

/// A directory of its own, removed at the end.
class ScratchDirectory {
 public:
  ScratchDirectory();
  ~ScratchDirectory();
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// One hyper-parameter, intervals of 10 steps, 40 steps.
CoordinatorOptions small_options(const ScratchDirectory& scratch, int64_t members);

/// A controller that serves on a thread of its own until it is stopped.
class ServedPopulation {
 public:
  explicit ServedPopulation(const CoordinatorOptions& options, uint16_t port = 0);
  ~ServedPopulation();
  ServedPopulation(const ServedPopulation&) = delete;
  ServedPopulation& operator=(const ServedPopulation&) = delete;

  uint16_t port() const { return port_; }
  /// Ends serving; the coordinator may be looked at then.
  const Coordinator& stop();
  /// Of the serving thread so far.
  double cpu_seconds() const;

 private:
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<Server> server_;
  uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<double> cpu_seconds_{0};
  std::thread thread_;
};

/// A peer that sends what it is told, well-formed or not.
class Wire {
 public:
  explicit Wire(uint16_t port);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void send_bytes(const std::string& bytes);
  void send(const std::string& text, const std::string& blob = {});
  /// The next message; nothing when the connection ended.
  std::optional<Message> receive();
  /// send() and receive(), as text; empty when the connection ended.
  std::string ask(const std::string& text, const std::string& blob = {});
  std::string hello(const std::string& worker, const std::string& version = "1",
                    const std::string& token = {});

 private:
  int socket_ = -1;
};

}  // namespace hecate::pbt
