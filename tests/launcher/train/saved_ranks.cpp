#include "tests/launcher/train/saved_ranks.h"

#include <algorithm>

#include "launcher/checkpoint/writer.h"
#include "launcher/train/job.h"
#include "launcher/train/training_state.h"

namespace hecate::launcher {

void save_ranks(Engine& engine, const std::filesystem::path& directory, int64_t step) {
  const Job job(engine.options().world);
  checkpoint::WriterOptions options;
  options.directory = directory;
  options.keep = 100;
  options.rank = job.rank();
  options.ranks = job.ranks();
  options.gather = [&](const std::string& mine) { return job.gather(mine); };
  checkpoint::CheckpointWriter writer(options);
  job.barrier();  // the first rank clears the directory
  Progress progress;
  progress.step = step;
  progress.data_identity = "test";
  writer.save(make_snapshot(engine, progress));
  writer.wait();
}

void WholeState::take(Engine& engine) {
  const std::lock_guard lock(mutex_);
  tensors_.resize(engine.layout().specs().size());
  for (const models::OwnedPiece& piece : engine.storage().pieces()) {
    auto& tensors = tensors_[static_cast<size_t>(piece.id)];
    const std::array<const Real*, 3> parts = {piece.value, piece.first_moment, piece.second_moment};
    for (size_t kind = 0; kind < parts.size(); ++kind) {
      tensors[kind].resize(static_cast<size_t>(engine.layout().spec(piece.id).size()));
      std::copy_n(parts[kind], piece.size, tensors[kind].begin() + piece.begin);
    }
  }
}

void WholeState::read(const checkpoint::Checkpoint& saved, const models::ParameterLayout& layout) {
  using checkpoint::Kind;
  tensors_.clear();
  for (const models::ParameterSpec& spec : layout.specs()) {
    auto& tensors = tensors_.emplace_back();
    const std::array kinds = {Kind::parameter, Kind::first_moment, Kind::second_moment};
    for (size_t kind = 0; kind < kinds.size(); ++kind) {
      tensors[kind].resize(static_cast<size_t>(spec.size()));
      checkpoint::TargetSlice target;
      static_cast<checkpoint::Slice&>(target) =
          checkpoint::whole_slice(spec.name, kinds[kind], dtype_of<Real>(), spec.shape);
      target.data = tensors[kind].data();
      saved.load({&target, 1});
    }
  }
}

}  // namespace hecate::launcher
