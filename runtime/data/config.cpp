#include "runtime/data/config.h"

#include <cmath>

#include "runtime/base/error.h"

namespace hecate::data {

void DataConfig::validate() const {
  HECATE_CHECK(!path.empty() || !mixture.empty(), "data.path is empty: name a dataset directory ",
               "or token file (or give data.mixture)");
  HECATE_CHECK(path.empty() || mixture.empty(), "data.path and data.mixture exclude each other");
  for (size_t i = 0; i < mixture.size(); ++i) {
    HECATE_CHECK(!mixture[i].path.empty(), "data.mixture[", i, "].path is empty");
    HECATE_CHECK(std::isfinite(mixture[i].weight) && mixture[i].weight > 0, "data.mixture[", i,
                 "].weight (", mixture[i].path, ") must be above 0, got ", mixture[i].weight);
  }
  HECATE_CHECK(sampler == "epochs" || sampler == "rs2", "data.sampler is '", sampler,
               "': expected epochs or rs2");
  HECATE_CHECK(rs2_share > 0 && rs2_share <= 1, "data.rs2_share must be in (0, 1], got ",
               rs2_share);
  HECATE_CHECK(document_end >= -1, "data.document_end is ", document_end);
}

}  // namespace hecate::data
