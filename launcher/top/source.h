#pragma once
#include <memory>
#include <string>
#include <vector>

#include "monitoring/top/top_state.h"

namespace hecate::launcher {

/// Where `hecate top` looks.
class TopSource {
 public:
  virtual ~TopSource() = default;
  /// Takes what is new. @return what is to be said about it ("waiting for the first step"); empty:
  ///   nothing.
  /// @throws CommError, IoError when nothing can be learnt this time; another try may help.
  virtual std::string poll(monitoring::TopState& state) = 0;
  /// As the user named it.
  virtual std::string name() const = 0;
};

/// @param names one run directory, or HOST:PORT of the exporters of a run's ranks.
/// @throws InvalidArgument for anything else, naming it.
std::unique_ptr<TopSource> open_top_source(const std::vector<std::string>& names);

/// Follows the run's steps.jsonl; of a long one the last 16 MiB.
std::unique_ptr<TopSource> follow_run(const std::string& directory);

/// Asks http://HOST:PORT/metrics of each; those that do not answer within two seconds are named,
/// and an error if all do not.
std::unique_ptr<TopSource> scrape_exporters(const std::vector<std::string>& addresses);

}  // namespace hecate::launcher
