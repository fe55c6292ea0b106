#pragma once
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "models/storage.h"
#include "models/transformer.h"
#include "runtime/graph/executor.h"

namespace hecate::models {

/// A small model with everything that one run of its training graph needs. Weights are random and
/// larger than a real initialisation, so that gradients are far from zero.
class TinyModel {
 public:
  TinyModel(const ModelConfig& model, const RouterConfig& router, BatchShape batch,
            GraphMode mode = GraphMode::train, bool documents = false, int threads = 2);

  /// Forward (and backward) of the batch. @return total loss: cross-entropy per valid token and
  /// the auxiliary losses.
  double run();
  double total_loss() const;

  ModelConfig model;
  RouterConfig router;
  ParameterLayout layout;
  MemoryLedger ledger;
  graph::LaneSet lanes;
  LocalStorage storage;
  ModelState state;
  TransformerGraph graph;
  graph::Executor executor;
  std::vector<int32_t> tokens, targets, document_begin;
  std::vector<Real> logits;
};

/// The variants of models/config.h that the tests cover, by name.
struct Variant {
  std::string name;
  ModelConfig model;
  RouterConfig router;
  bool documents = false;
};
std::vector<Variant> variants();
inline void PrintTo(const Variant& variant, std::ostream* out) {
  *out << variant.name;
}

}  // namespace hecate::models
