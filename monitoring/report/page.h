#pragma once
#include <string>

#include "monitoring/report/run_data.h"

namespace hecate::monitoring {

struct PageOptions {
  std::string made_at;       ///< "2026-01-31 17:45", printed as it is
  std::string version;       ///< of the program
  int64_t most_rows = 1500;  ///< of a run's log on the page; longer logs are thinned
};

/// One self-contained HTML page: styles, scripts and data are in it, nothing is fetched. Whatever
/// comes from a run is data to it: text that looks like markup is shown as it is.
std::string report_page(const ReportData& data, const PageOptions& options);

/// The data that the page's scripts draw, as JSON that may stand inside a <script> element.
std::string page_json(const ReportData& data, const PageOptions& options);

}  // namespace hecate::monitoring
