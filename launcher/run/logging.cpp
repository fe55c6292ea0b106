#include "launcher/run/logging.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <thread>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"

namespace hecate::launcher {
namespace {

spdlog::level::level_enum parse_level(const std::string& name) {
  const std::vector<std::string> names = {"trace", "debug", "info", "warning", "error", "off"};
  for (const std::string& known : names)
    if (known == name) return spdlog::level::from_str(name);
  const std::string nearest = nearest_name(name, names);
  throw InvalidArgument(concat("log level '", name,
                               "' is unknown: expected trace, debug, info, warning, error or off",
                               nearest.empty() ? "" : "; nearest: " + nearest));
}

constexpr const char* kLogger = "hecate";
constexpr const char* kFile = "hecate's file";  // the name of a logger that has one

spdlog::sink_ptr file_sink(const std::filesystem::path& path) {
  try {
    return std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string());
  } catch (const spdlog::spdlog_ex& error) {
    throw IoError(concat(path.string(), ": open log: ", error.what()));
  }
}

// Whose messages the default logger writes, as "rank 3: "; empty where there is one rank.
std::string speaker() {
  const std::string name = spdlog::default_logger()->name();
  const size_t rank = name.find("rank ");
  return rank == std::string::npos ? "" : name.substr(rank) + ": ";
}

}  // namespace

void start_logging(const LogOptions& options) {
  const spdlog::level::level_enum level = parse_level(options.level);
  const std::string rank = options.ranks > 1 ? concat("[rank ", options.rank, "] ") : "";
  std::vector<spdlog::sink_ptr> sinks;
  if (options.rank == 0) {
    // A status line may stand on the terminal: the message takes its place, the next status
    // redraws.
    const std::string clear = options.terminal ? "\r\x1b[K" : "";
    sinks.push_back(std::make_shared<spdlog::sinks::stderr_sink_mt>());
    sinks.back()->set_pattern(clear + "%H:%M:%S %l %v");
  }
  if (!options.file.empty()) {
    sinks.push_back(file_sink(options.file));
    sinks.back()->set_pattern("%Y-%m-%d %H:%M:%S %l " + rank + "%v");
  }
  const std::string name = concat(options.file.empty() ? kLogger : kFile,
                                  options.ranks > 1 ? concat(" rank ", options.rank) : "");
  const auto logger = std::make_shared<spdlog::logger>(name, sinks.begin(), sinks.end());
  logger->set_level(level);
  logger->flush_on(level);
  spdlog::set_default_logger(logger);
}

void report_failure(const std::string& message) {
  const auto logger = spdlog::default_logger();
  std::cerr << "hecate: " << speaker() << message << std::endl;
  if (!logger->name().starts_with(kFile)) return;
  // The file's own sink is the last one: the terminal has the message already.
  spdlog::logger file("file", logger->sinks().back());
  file.critical(message);
  file.flush();
}

void settle_terminal() {
  constexpr std::chrono::milliseconds kPause{1};
  for (int waits = 1000; waits > 0; --waits) {
    int unread = 0;
    if (::ioctl(STDERR_FILENO, FIONREAD, &unread) != 0 || unread == 0) return;
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace hecate::launcher
