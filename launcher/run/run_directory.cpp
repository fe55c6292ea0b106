#include "launcher/run/run_directory.h"

#include <array>
#include <ctime>

#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

// Tells a run's config.toml from anybody else's.
constexpr std::string_view kMark = "# hecate run: the resolved configuration\n";

// What ranks left that lost each other before there was a run.
constexpr std::string_view kFlight = "flight";

bool is_run(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::path config = path / "config.toml";
  return std::filesystem::is_regular_file(config, error) &&
         io::read_file(config).starts_with(kMark);
}

}  // namespace

std::filesystem::path RunDirectory::fresh_path(std::string_view name) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 32> date;
  std::strftime(date.data(), date.size(), "%Y%m%d-%H%M%S", &local);
  const std::string base = concat("runs/", date.data(), "-", name);
  std::string path = base;
  for (int copy = 2; std::filesystem::exists(path); ++copy) path = concat(base, "-", copy);
  return path;
}

RunDirectory RunDirectory::create(const std::filesystem::path& path, std::string_view config_toml) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw io::io_error(path, "create run directory", error.value());
  HECATE_CHECK(!is_run(path), path.string(),
               ": holds a run already; continue it with --resume or name another --run");
  const std::filesystem::directory_iterator entries(path, error);
  if (error) throw io::io_error(path, "list run directory", error.value());
  for (const auto& entry : entries) {
    const std::string name = entry.path().filename().string();
    HECATE_CHECK(name == kFlight, path.string(), ": expected a new or empty run directory, found ",
                 name);
  }
  RunDirectory run(path);
  io::write_file(run.config(), std::string(kMark) + std::string(config_toml));
  return run;
}

RunDirectory RunDirectory::open(const std::filesystem::path& path) {
  std::error_code error;
  HECATE_CHECK(std::filesystem::is_directory(path, error), path.string(),
               ": no such run directory");
  HECATE_CHECK(is_run(path), path.string(),
               ": not a run directory: no config.toml that hecate wrote in it");
  return RunDirectory(path);
}

void RunDirectory::discard() const noexcept {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path RunDirectory::flight() const {
  return path_ / kFlight;
}

std::filesystem::path RunDirectory::log(int rank) const {
  return path_ / "logs" / concat("rank-", rank, ".log");
}

std::filesystem::path RunDirectory::timeline(int rank) const {
  return path_ / "timeline" / concat("rank-", rank, ".json");
}

}  // namespace hecate::launcher
