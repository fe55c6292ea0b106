#pragma once
#include <filesystem>
#include <optional>
#include <string>

namespace hecate::launcher {

/// The newest number of that name in a step log. @param metric a key of a line, with dots into
/// objects: "eval_loss", "load.0.entropy". A null counts as NaN.
/// @throws InvalidArgument naming the nearest number of the log if there is none.
double newest_metric(const std::filesystem::path& steps, const std::string& metric);

}  // namespace hecate::launcher
