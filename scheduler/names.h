#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace hecate::scheduler {

/// Place of `name` among the known ones. @param key is what the message calls it.
/// @throws InvalidArgument listing the known names and the nearest.
size_t index_of(const std::string& key, const std::string& name,
                const std::vector<std::string>& known);

}  // namespace hecate::scheduler
