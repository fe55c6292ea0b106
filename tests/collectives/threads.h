#pragma once
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "collectives/inproc/inproc.h"
#include "runtime/base/error.h"

namespace hecate::collectives {

/// Runs `body` on every rank of an in-process world and rethrows the first rank's error.
inline void run_ranks(int ranks, const CommunicatorOptions& options,
                      const std::function<void(const Communicator&)>& body) {
  std::vector<Communicator> world = inproc::create(ranks, options);
  std::vector<std::exception_ptr> errors(world.size());
  std::vector<std::thread> threads;
  for (size_t r = 0; r < world.size(); ++r) {
    threads.emplace_back([&, r] {
      try {
        body(world[r]);
      } catch (...) {
        errors[r] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& error : errors)
    if (error) std::rethrow_exception(error);
}

/// What the CommError of `call` says.
template <class Call>
std::string comm_error(const Call& call) {
  try {
    call();
  } catch (const CommError& error) {
    return error.what();
  }
  return "no CommError";
}

}  // namespace hecate::collectives
