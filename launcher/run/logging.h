#pragma once
#include <filesystem>
#include <string>

/// Where log messages go. Set up once, by the program; everything below calls spdlog's free
/// functions or nothing.
namespace hecate::launcher {

struct LogOptions {
  int rank = 0;
  int ranks = 1;
  /// Of the ranks above 0, which do not write to the terminal; empty: they log nowhere.
  std::filesystem::path file = {};
  bool terminal = false;  ///< clear the status line before each message
  std::string level = "info";
};

/// Rank 0 logs to standard error, the others to their file (its directory is made). With several
/// ranks each message starts with its rank.
/// @throws InvalidArgument for an unknown level, with the nearest; IoError naming the file.
void start_logging(const LogOptions& options);

}  // namespace hecate::launcher
