#pragma once

/// How a model's graph spreads over ranks.
namespace hecate::sharding::exec {
class ExpertRuntime;
class DenseShards;
}  // namespace hecate::sharding::exec

namespace hecate::models {

/// Null members: this rank holds everything itself. What they point to outlives the graph.
struct Parallel {
  sharding::exec::ExpertRuntime* experts = nullptr;
  sharding::exec::DenseShards* dense = nullptr;
};

}  // namespace hecate::models
