#include "scheduler/population/config.h"

#include <cmath>

#include "runtime/base/error.h"
#include "scheduler/population/search_space.h"

namespace hecate::population {

void PopulationConfig::validate() const {
  const SearchSpace checked(search);
  HECATE_CHECK(!factors.empty(), "pbt.factors is empty: expected numbers above 0");
  for (double factor : factors)
    HECATE_CHECK(std::isfinite(factor) && factor > 0, "pbt.factors: ", factor,
                 ": expected numbers above 0");
  HECATE_CHECK(!metric.empty(), "pbt.metric is empty");
  HECATE_CHECK(heartbeat_seconds < timeout_seconds, "pbt.heartbeat_seconds = ", heartbeat_seconds,
               " is not below pbt.timeout_seconds = ", timeout_seconds);
}

}  // namespace hecate::population
