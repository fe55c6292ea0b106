#pragma once
#include <memory>
#include <string>
#include <vector>

#include "models/optimizer.h"
#include "runtime/io/safetensors.h"
#include "tests/models/tiny_model.h"

namespace hecate::models {

/// A variant that PyTorch computed (tests/reference): configuration, weights and expected values.
class Fixture {
 public:
  explicit Fixture(const std::string& name);

  ModelConfig model;
  RouterConfig router;
  OptimizerConfig optimizer;
  double rate = 0;
  BatchShape batch;
  int64_t batches = 0;
  bool documents = false;

  std::vector<double> values(const std::string& name) const;
  std::vector<int32_t> integers(const std::string& name) const;
  bool has(const std::string& name) const { return file_.find(name) != nullptr; }

  /// A model with the fixture's weights, its inputs bound to batch `index`.
  std::unique_ptr<TinyModel> build(GraphMode mode) const;
  void bind_batch(TinyModel& m, int64_t index, GraphMode mode) const;

 private:
  io::SafetensorsFile file_;
};

}  // namespace hecate::models
