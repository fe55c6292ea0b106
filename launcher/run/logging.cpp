#include "launcher/run/logging.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
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

spdlog::sink_ptr make_sink(const LogOptions& options) {
  if (options.rank == 0) return std::make_shared<spdlog::sinks::stderr_sink_mt>();
  if (options.file.empty()) return std::make_shared<spdlog::sinks::null_sink_mt>();
  try {
    return std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file.string());
  } catch (const spdlog::spdlog_ex& error) {
    throw IoError(concat(options.file.string(), ": open log: ", error.what()));
  }
}

}  // namespace

void start_logging(const LogOptions& options) {
  const spdlog::level::level_enum level = parse_level(options.level);
  const auto logger = std::make_shared<spdlog::logger>("hecate", make_sink(options));
  const std::string rank = options.ranks > 1 ? concat("[rank ", options.rank, "] ") : "";
  // A status line may stand on the terminal: the message takes its place, the next status redraws.
  const std::string clear = options.terminal && options.rank == 0 ? "\r\x1b[K" : "";
  logger->set_pattern(clear + "%H:%M:%S %l " + rank + "%v");
  logger->set_level(level);
  logger->flush_on(level);
  spdlog::set_default_logger(logger);
}

}  // namespace hecate::launcher
