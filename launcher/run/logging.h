#pragma once
#include <filesystem>
#include <string>

/// Where log messages go. Set up once, by the program; everything below calls spdlog's free
/// functions or nothing.
namespace hecate::launcher {

struct LogOptions {
  int rank = 0;
  int ranks = 1;
  /// Where the messages go: those of ranks above 0 nowhere else (empty: nowhere at all), those of
  /// rank 0 to the terminal too. Appended to.
  std::filesystem::path file = {};
  bool terminal = false;  ///< clear the status line before each message
  std::string level = "info";
};

/// Rank 0 logs to standard error and to its file if it has one, the others to their file only
/// (its directory is made). In files of several ranks each message starts with its rank. May be
/// called again, when a run directory is there.
/// @throws InvalidArgument for an unknown level, with the nearest; IoError naming the file.
void start_logging(const LogOptions& options);

/// Says why the program ends: on standard error, of whatever rank, because it may be the only one
/// that knows; and in the log file if there is one.
void report_failure(const std::string& message);

/// Waits until whoever reads standard error through a pipe has taken all of it, at most a second.
/// Before a rank ends with a failure: mpirun throws away what it has not read by then.
void settle_terminal();

}  // namespace hecate::launcher
