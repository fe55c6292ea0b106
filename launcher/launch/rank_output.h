#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "launcher/launch/job.h"

namespace hecate::launch {

/// Turns the marks that mpirun (--tag-output) or srun (--label) puts on the ranks' output into
/// `[3] ` before every line. mpirun marks pieces, so one of its lines may hold pieces of several
/// ranks: they are put together again, and a line comes out when it is complete. Lines without a
/// mark are the starter's own and pass as they are.
class RankOutput {
 public:
  using Write = std::function<void(std::string_view line)>;

  /// @param write gets one line with its line break at a time.
  RankOutput(Starter starter, Write write);

  void add(std::string_view bytes);
  /// Nothing more comes: incomplete lines are written.
  void finish();

 private:
  void take_mpirun();
  void take_srun();
  void end_line();
  void put(int rank, std::string_view text);

  Starter starter_;
  Write write_;
  std::string pending_;              // not looked at yet
  std::map<int, std::string> line_;  // begun, per rank; kStarter: no rank
  int rank_;                         // whose text comes
};

}  // namespace hecate::launch
