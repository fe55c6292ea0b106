#pragma once
#include <array>
#include <filesystem>
#include <mutex>
#include <vector>

#include "launcher/checkpoint/checkpoint.h"
#include "launcher/train/engine.h"

namespace hecate::launcher {

/// Saves what the ranks hold, as the trainer does; back when it is on disk. All ranks must call.
/// @param directory exists. @param step updates done.
void save_ranks(Engine& engine, const std::filesystem::path& directory, int64_t step);

/// Whole parameters and both moments of a model.
class WholeState {
 public:
  /// What the ranks own, put together. Each rank calls it once.
  void take(Engine& engine);
  /// What a file says.
  void read(const checkpoint::Checkpoint& saved, const models::ParameterLayout& layout);

  bool operator==(const WholeState& other) const { return tensors_ == other.tensors_; }

 private:
  std::mutex mutex_;
  std::vector<std::array<std::vector<Real>, 3>> tensors_;
};

}  // namespace hecate::launcher
