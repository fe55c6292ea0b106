#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "scheduler/pbt/frame.h"
#include "scheduler/pbt/server.h"

namespace hecate::pbt {

struct ClientOptions {
  Address controller;
  std::string version, token, worker;  ///< as Coordinator's hello
  double give_up_seconds = 600;        ///< of trying to reach the controller
};

/// A worker's end of the connection. A thread of its own keeps it open, gives signs of life and,
/// when it broke, comes back with growing pauses (0.1 s to 5 s) and asks again what was not
/// answered. One request at a time.
class Client {
 public:
  /// Connects in the background.
  explicit Client(const ClientOptions& options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// The text of the controller's welcome; waits for it. @throws as request().
  std::string welcome();
  /// Sends a JSON object and waits for the answer, through any number of lost connections.
  /// @param text without `id`. @throws InvalidArgument with the reason when the controller refuses
  ///   this worker; CommError when it cannot be reached for give_up_seconds.
  Message request(const std::string& text, const std::string& blob = {});
  /// What the signs of life tell from now on. Any thread.
  void progress(int member, int64_t step, double loss);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hecate::pbt
