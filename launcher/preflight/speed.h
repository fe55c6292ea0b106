#pragma once
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "collectives/communicator.h"

namespace hecate::launcher {

/// What a rank reached in the start-up measurement.
struct RankSpeed {
  double flops_per_s = 0;
  double bytes_per_s = 0;  ///< sent, while receiving as much; 0: there is nobody to send to
  std::string host;
};

struct SpeedOptions {
  int threads = 1;
  double seconds = 0.2;         ///< of matrix products
  double pace_flops_per_s = 0;  ///< > 0: the device's rate is this one and is not measured
};

/// Matrix-product rate and link goodput of every rank, all ranks at work at the same time, as in
/// training. Goodput is the better of two exchanges with different partners on other nodes (other
/// ranks where there is one node), so that a healthy rank does not look slow for its partner's
/// sake. The result is equal on all ranks. All ranks must call.
/// @throws CommError as every collective.
std::vector<RankSpeed> measure_speed(const collectives::Communicator& communicator,
                                     const SpeedOptions& options);

/// Whom `rank` sends to in exchange number `round`, and how many rounds there are.
int exchange_partner(std::span<const int> nodes, int rank, int round);
int exchange_rounds(std::span<const int> nodes);

/// One line: medians, and the slowest rank of each kind with its host.
std::string speed_summary(std::span<const RankSpeed> ranks);

/// Ranks far below the median, each with what it reached; empty if there is none.
/// @param share of the median that counts as far below.
std::string slow_ranks(std::span<const RankSpeed> ranks, double share = 0.7);

}  // namespace hecate::launcher
