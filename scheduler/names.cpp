#include "scheduler/names.h"

#include <algorithm>

#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"

namespace hecate::scheduler {

size_t index_of(const std::string& key, const std::string& name,
                const std::vector<std::string>& known) {
  const auto found = std::ranges::find(known, name);
  if (found != known.end()) return static_cast<size_t>(found - known.begin());
  std::string list;
  for (const std::string& each : known) list += (list.empty() ? "" : ", ") + each;
  const std::string nearest = nearest_name(name, known);
  throw InvalidArgument(concat(key, " = '", name, "' is unknown (known: ", list, ")",
                               nearest.empty() ? "" : "; nearest: " + nearest));
}

}  // namespace hecate::scheduler
