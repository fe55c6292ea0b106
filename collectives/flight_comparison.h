#pragma once
#include <chrono>
#include <istream>
#include <span>
#include <string>
#include <vector>

#include "collectives/flight_record.h"

/// Which rank holds the others up, from what every rank did last.
namespace hecate::collectives {

/// One rank's record.
struct RankRecord {
  int rank = 0;
  std::vector<FlightEntry> entries;  ///< oldest first
};

/// What write() wrote, also among other lines (a job's error output).
/// @throws InvalidArgument on a line that begins as an entry and is none.
std::vector<RankRecord> read_records(std::istream& in);
/// From a file, or from all records in a directory. @throws IoError where there is none.
std::vector<RankRecord> read_records(const std::string& path);

struct FlightComparison {
  /// Ranks without whose doing the rest would go on, rising: those that left no record, are behind
  /// or called another operation, and are not themselves waiting for somebody.
  std::vector<int> odd;
  /// For each communicator with an operation that never ended: how far every rank got. Last: who
  /// is odd and why. Empty when everything ended.
  std::string text;
};
/// A rank that a record names and that has none itself counts as missing.
FlightComparison compare(std::span<const RankRecord> records);

/// What a rank does after a CommError, before it exits. Waits until every rank has left its record
/// in `directory` (CommunicatorOptions::flight_directory), for at most `patience`; the lowest rank
/// that left one compares them, leaves the result beside them and gets it, for people; the others
/// get nothing, after it is written. Never throws.
std::string report_failure(const std::string& directory, int rank,
                           std::chrono::milliseconds patience = std::chrono::seconds(3));

}  // namespace hecate::collectives
