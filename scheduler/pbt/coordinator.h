#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "scheduler/pbt/frame.h"
#include "scheduler/pbt/store.h"
#include "scheduler/population/population.h"

namespace hecate::pbt {

struct CoordinatorOptions {
  population::PopulationConfig population;
  int64_t steps = 0;  ///< a member is finished after them
  uint64_t seed = 0;
  std::filesystem::path journal;
  std::string version;        ///< of the program; a worker's must be the same
  std::string token;          ///< what workers must know; empty: nothing
  std::string configuration;  ///< what members train with, TOML
  std::string directory;      ///< of the population, absolute
  /// Name and content of a file in `directory` by which a worker finds out whether it sees it.
  std::string probe_name, probe;
  Store* store = nullptr;  ///< outlives the object
};

/// The controller without its sockets: what it answers to whom, and what it remembers. One thread.
///
/// Every decision is in the journal, on disk, before anybody hears of it. Messages are JSON objects
/// with `type` and an `id` that the answer repeats:
///   hello {version, token, worker}     -> welcome {configuration, directory, probe..., times}
///   ready {}                           -> assign {...}, or later, or finish {}
///   copied {member, lease}             -> noted {} | stale {}
///   copy_failed {member, lease, reason}-> noted | stale
///   report {member, lease, step, tokens, score} -> noted | stale (a repeated one is noted)
///   failed {member, lease, reason, diverged}    -> noted | stale
///   released {member, lease}           -> noted | stale: the worker stops and gives it back
///   progress {member?, step?, loss?}   -> alive: sign of life
///   files, read, write, publish, copy  -> what store.h says, for workers without the disk
/// Anything else, or in another order, is answered by refused {reason, again} and the connection
/// ends (`again`: the worker may come back); nobody else notices. A worker is its name: one that
/// connects again goes on with what it had.
class Coordinator {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Connection = uint64_t;

  struct Reply {
    Connection to = 0;
    Message message;
    bool close = false;  ///< after it was sent
  };
  /// What a running member was last heard to do.
  struct Live {
    int64_t step = 0;
    double loss = 0;
  };

  /// Begins the population, or goes on from the journal that is there.
  /// @throws InvalidArgument naming file and line if it is of another population or damaged.
  explicit Coordinator(const CoordinatorOptions& options, Time now);
  ~Coordinator();

  void opened(Connection connection, Time now);
  void received(Connection connection, const Message& message, Time now);
  void closed(Connection connection, Time now);
  /// What may be sent to a peer that has not said who it is.
  FrameLimits limits(Connection connection) const;
  /// Drops what is silent, takes members back, hands out what waited. Call a few times a second.
  void tick(Time now);
  /// Makes all decisions since the last call durable; then these answers may go out, in order.
  /// @throws IoError when the journal cannot be written: nothing may be answered any more.
  std::vector<Reply> commit();
  /// Answers a peer whose message could not even be read, and ends its connection.
  void refuse(Connection connection, const std::string& reason);

  const population::Population& population() const;
  /// All of them since the beginning.
  const std::vector<population::Event>& events() const;
  const std::map<int, Live>& live() const;
  /// Workers that are connected.
  size_t workers() const;
  /// Whether a worker of this name is connected.
  bool connected(const std::string& worker) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hecate::pbt
