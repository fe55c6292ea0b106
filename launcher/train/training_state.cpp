#include "launcher/train/training_state.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <type_traits>

namespace hecate::launcher {
namespace {

// What a rank owns of each kind of saved tensor, and what of them it wants, as boxes of logical
// tensors.
template <class SliceType, class Visit>
void for_each_slice(Engine& engine, const Visit& visit) {
  const auto add = [&](const models::OwnedPiece& piece, checkpoint::Kind kind, Real* data) {
    const models::ParameterSpec& spec = engine.layout().spec(piece.id);
    for (const checkpoint::Slice& box :
         checkpoint::range_slices(spec.name, kind, dtype_of<Real>(), spec.shape, piece.begin,
                                  piece.begin + piece.size)) {
      SliceType slice;
      static_cast<checkpoint::Slice&>(slice) = box;
      slice.data = data;
      data += box.size();
      visit(slice);
    }
  };
  const auto add_all = [&](std::span<const models::OwnedPiece> pieces) {
    for (const models::OwnedPiece& piece : pieces) {
      add(piece, checkpoint::Kind::parameter, piece.value);
      add(piece, checkpoint::Kind::first_moment, piece.first_moment);
      add(piece, checkpoint::Kind::second_moment, piece.second_moment);
    }
  };
  add_all(engine.storage().pieces());
  if (std::is_same_v<SliceType, checkpoint::TargetSlice>) add_all(engine.storage().replicas());
}

constexpr const char* kPlacement = "placement";
constexpr const char* kRateFactor = "rate_factor";

nlohmann::json to_json(const ShardedModel::State& state) {
  return {{"owners", state.owners}, {"loads", state.tracker}, {"strategy", state.strategy}};
}

ShardedModel::State placement_of(const checkpoint::Checkpoint& saved) {
  const auto extra = nlohmann::json::parse(saved.extra());
  ShardedModel::State state;
  if (!extra.contains(kPlacement)) return state;  // written by one rank
  const nlohmann::json& placement = extra.at(kPlacement);
  placement.at("owners").get_to(state.owners);
  placement.at("loads").get_to(state.tracker);
  placement.at("strategy").get_to(state.strategy);
  return state;
}

bool holds(const checkpoint::Checkpoint& saved, checkpoint::Kind kind) {
  return std::ranges::any_of(
      saved.tensors(), [&](const checkpoint::TensorRecord& tensor) { return tensor.kind == kind; });
}

nlohmann::json to_json(const Progress& progress) {
  nlohmann::json json = {{"next_sample", progress.next_sample},
                         {"data_identity", progress.data_identity},
                         {"config", progress.config}};
  if (!progress.recent_losses.empty()) json["recent_losses"] = progress.recent_losses;
  return json;
}

}  // namespace

checkpoint::Snapshot make_snapshot(const Progress& progress) {
  checkpoint::Snapshot snapshot;
  snapshot.step = progress.step;
  snapshot.tokens = progress.tokens;
  snapshot.identity = progress.data_identity;
  snapshot.extra = to_json(progress).dump();
  return snapshot;
}

checkpoint::Snapshot make_snapshot(Engine& engine, const Progress& progress) {
  checkpoint::Snapshot snapshot = make_snapshot(progress);
  nlohmann::json extra = to_json(progress);
  if (engine.sharded() != nullptr) extra[kPlacement] = to_json(engine.sharded()->state());
  if (engine.options().optimizer.hypergradient.enabled) extra[kRateFactor] = engine.rate_factor();
  snapshot.extra = extra.dump();
  for_each_slice<checkpoint::TensorSlice>(
      engine, [&](const checkpoint::TensorSlice& slice) { snapshot.slices.push_back(slice); });
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
    if (extra.contains("recent_losses")) extra.at("recent_losses").get_to(progress.recent_losses);
  } catch (const nlohmann::json::exception& error) {
    throw InvalidArgument(
        concat(saved.path().string(), ": not the checkpoint of a training run: ", error.what()));
  }
  return progress;
}

Progress restore(Engine& engine, const checkpoint::Checkpoint& saved) {
  engine.set_rate_factor(nlohmann::json::parse(saved.extra()).value(kRateFactor, 1.0));
  if (engine.sharded() != nullptr) engine.restore_placement(placement_of(saved));
  std::vector<checkpoint::TargetSlice> targets;
  const bool bare = saved.step() == 0 && !holds(saved, checkpoint::Kind::first_moment);
  for_each_slice<checkpoint::TargetSlice>(engine, [&](const checkpoint::TargetSlice& slice) {
    if (bare && slice.kind != checkpoint::Kind::parameter)
      std::fill_n(static_cast<Real*>(slice.data), slice.size(), Real{0});
    else
      targets.push_back(slice);
  });
  saved.load(targets);
  return read_progress(saved);
}

void load_parameters(Engine& engine, const checkpoint::Checkpoint& saved) {
  std::vector<checkpoint::TargetSlice> targets;
  for_each_slice<checkpoint::TargetSlice>(engine, [&](const checkpoint::TargetSlice& slice) {
    if (slice.kind == checkpoint::Kind::parameter) targets.push_back(slice);
  });
  saved.load(targets);
}

void load_parameters(const checkpoint::Checkpoint& saved, const models::ParameterLayout& layout,
                     std::span<Real> values) {
  std::vector<checkpoint::TargetSlice> targets;
  for (size_t i = 0; i < layout.specs().size(); ++i) {
    const auto id = static_cast<models::ParameterId>(i);
    const models::ParameterSpec& spec = layout.spec(id);
    checkpoint::TargetSlice slice;
    static_cast<checkpoint::Slice&>(slice) = checkpoint::whole_slice(
        spec.name, checkpoint::Kind::parameter, dtype_of<Real>(), spec.shape);
    slice.data = values.data() + layout.offset(id);
    targets.push_back(slice);
  }
  saved.load(targets);
}

}  // namespace hecate::launcher
