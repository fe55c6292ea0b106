#include "launcher/top/source.h"

#include <filesystem>

#include "launcher/top/address.h"
#include "runtime/base/error.h"

namespace hecate::launcher {

std::unique_ptr<TopSource> open_top_source(const std::vector<std::string>& names) {
  HECATE_CHECK(!names.empty(), "top: expected a run directory or HOST:PORT");
  std::error_code error;
  const bool directory = std::filesystem::is_directory(names.front(), error);
  if (directory) {
    HECATE_CHECK(names.size() == 1, "top: expected one run directory, got ", names.size());
    return follow_run(names.front());
  }
  for (const std::string& name : names)
    HECATE_CHECK(is_address(name), "top: '", name,
                 "' is no run directory and no HOST:PORT such as 127.0.0.1:9464");
  return scrape_exporters(names);
}

}  // namespace hecate::launcher
