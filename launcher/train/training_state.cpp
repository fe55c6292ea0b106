#include "launcher/train/training_state.h"

#include <nlohmann/json.hpp>

namespace hecate::launcher {
namespace {

// The three arrays of a model with the kind they are saved as.
struct KindArray {
  checkpoint::Kind kind;
  std::span<Real> values;
};

std::vector<KindArray> arrays_of(models::LocalStorage& storage) {
  return {{checkpoint::Kind::parameter, storage.values()},
          {checkpoint::Kind::first_moment, storage.first_moments()},
          {checkpoint::Kind::second_moment, storage.second_moments()}};
}

template <class SliceType>
SliceType slice_of(const models::ParameterSpec& spec, checkpoint::Kind kind, Real* data) {
  SliceType slice;
  static_cast<checkpoint::Slice&>(slice) =
      checkpoint::whole_slice(spec.name, kind, dtype_of<Real>(), spec.shape);
  slice.data = data;
  return slice;
}

}  // namespace

checkpoint::Snapshot make_snapshot(Engine& engine, const Progress& progress) {
  checkpoint::Snapshot snapshot;
  snapshot.step = progress.step;
  snapshot.tokens = progress.tokens;
  snapshot.identity = progress.data_identity;
  snapshot.extra = nlohmann::json{{"next_sample", progress.next_sample},
                                  {"data_identity", progress.data_identity},
                                  {"config", progress.config}}
                       .dump();
  models::LocalStorage& storage = engine.storage();
  for (const KindArray& array : arrays_of(storage))
    for (size_t i = 0; i < engine.layout().specs().size(); ++i) {
      const auto id = static_cast<models::ParameterId>(i);
      snapshot.slices.push_back(slice_of<checkpoint::TensorSlice>(
          engine.layout().spec(id), array.kind, storage.piece(array.values, id).data()));
    }
  return snapshot;
}

Progress read_progress(const checkpoint::Checkpoint& saved) {
  const auto extra = nlohmann::json::parse(saved.extra());
  Progress progress;
  progress.step = saved.step();
  progress.tokens = saved.tokens();
  try {
    progress.next_sample = extra.at("next_sample").get<uint64_t>();
    progress.data_identity = extra.at("data_identity").get<std::string>();
    progress.config = extra.at("config").get<std::string>();
  } catch (const nlohmann::json::exception& error) {
    throw InvalidArgument(
        concat(saved.path().string(), ": not the checkpoint of a training run: ", error.what()));
  }
  return progress;
}

Progress restore(Engine& engine, const checkpoint::Checkpoint& saved) {
  std::vector<checkpoint::TargetSlice> targets;
  models::LocalStorage& storage = engine.storage();
  for (const KindArray& array : arrays_of(storage))
    for (size_t i = 0; i < engine.layout().specs().size(); ++i) {
      const auto id = static_cast<models::ParameterId>(i);
      targets.push_back(slice_of<checkpoint::TargetSlice>(engine.layout().spec(id), array.kind,
                                                          storage.piece(array.values, id).data()));
    }
  saved.load(targets);
  return read_progress(saved);
}

void load_parameters(const checkpoint::Checkpoint& saved, const models::ParameterLayout& layout,
                     std::span<Real> values) {
  std::vector<checkpoint::TargetSlice> targets;
  for (size_t i = 0; i < layout.specs().size(); ++i) {
    const auto id = static_cast<models::ParameterId>(i);
    targets.push_back(slice_of<checkpoint::TargetSlice>(
        layout.spec(id), checkpoint::Kind::parameter, values.data() + layout.offset(id)));
  }
  saved.load(targets);
}

}  // namespace hecate::launcher
