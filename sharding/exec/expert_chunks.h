#pragma once
#include <cstdint>
#include <string>

namespace hecate::sharding::exec {

/// The experts of a model as chunks: all of one size, in MoE layers numbered 0.. (layers without
/// experts are not counted).
struct ExpertChunks {
  int64_t layers = 0;    ///< MoE layers
  int64_t experts = 0;   ///< per layer
  int64_t elements = 0;  ///< of one chunk

  int64_t count() const { return layers * experts; }
};

}  // namespace hecate::sharding::exec
