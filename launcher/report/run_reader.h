#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "monitoring/report/run_data.h"

namespace hecate::launcher {

/// Reads run directories, of runs that go on as well, and directories of populations.
/// @param paths each a run directory, or one with a pbt.jsonl, whose sub-directories that are runs
///   are its members.
/// @throws InvalidArgument naming the path that is neither; IoError. Files that a run does not have
///   yet, or that are damaged, are no error: what they would have shown is absent, and
///   RunData::notes says what was passed over.
monitoring::ReportData read_report(const std::vector<std::string>& paths);

}  // namespace hecate::launcher
