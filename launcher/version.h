#pragma once
#include <string>

namespace hecate::launcher {

/// Version, commit and one line per feature, as `hecate --version` prints them.
std::string version_text();

/// "0.1.0".
std::string version_number();
/// The commit that was built, "-dirty" behind it if files differed; "unknown" without git.
std::string commit();

}  // namespace hecate::launcher
