#pragma once
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collectives/communicator.h"
#include "collectives/mpi/mpi.h"

namespace hecate::launcher {

/// The same error on every rank: only the first needs to say it.
class AgreedError final : public std::exception {
 public:
  AgreedError(std::string message, int exit_code)
      : message_(std::move(message)), exit_code_(exit_code) {}
  const char* what() const noexcept override { return message_.c_str(); }
  int exit_code() const { return exit_code_; }

 private:
  std::string message_;
  int exit_code_;
};

/// The ranks that this program is one of: one without mpirun, all of mpirun's with it. A cheap
/// handle; the last one ends MPI. Every method but the getters and abandon() is a collective: all
/// ranks must call, from one thread each.
class Job {
 public:
  /// One rank that stands alone.
  Job() = default;
  /// The ranks of `world`.
  explicit Job(collectives::Communicator world) : world_(std::move(world)) {}
  /// What the launcher started: MPI's ranks, or one. @throws as mpi::World.
  static Job start(const collectives::CommunicatorOptions& options);

  int rank() const { return world_ ? world_.rank() : 0; }
  int ranks() const { return world_ ? world_.size() : 1; }
  /// Whether this rank speaks for the job: writes the terminal and shared files.
  bool first() const { return rank() == 0; }
  /// Empty handle when alone.
  const collectives::Communicator& world() const { return world_; }

  /// Every rank's text, in rank order.
  std::vector<std::string> gather(const std::string& mine) const;
  /// The first rank's text, everywhere.
  std::string share(const std::string& text) const;
  bool any(bool mine) const;
  double largest(double mine) const;
  void barrier() const;
  /// Runs `work` on every rank. @throws AgreedError on all ranks if it fails anywhere, with the
  /// text
  ///   of the first rank that failed, and its number unless all failed alike; alone, the error
  ///   itself. A CommError is passed on as it is: there is no agreeing any more.
  void agree(const std::function<void()>& work) const;
  /// The same for work that makes something.
  template <class Make>
  auto agreed(const Make& make) const {
    std::optional<decltype(make())> made;
    agree([&] { made.emplace(make()); });
    return *std::move(made);
  }

  /// After an error that the other ranks do not know of: what waits for them fails at once, and
  /// MPI is left as it is when the last handle goes. Not a collective.
  void abandon() const;

 private:
  std::shared_ptr<collectives::mpi::World> mpi_;
  collectives::Communicator world_;
};

}  // namespace hecate::launcher
