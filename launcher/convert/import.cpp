#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <set>

#include "launcher/checkpoint/writer.h"
#include "launcher/convert/convert.h"
#include "launcher/convert/elements.h"
#include "launcher/convert/hub_config.h"
#include "launcher/run/run_directory.h"
#include "launcher/train/loaded_model.h"
#include "launcher/train/setup.h"
#include "launcher/train/training_state.h"
#include "runtime/base/nearest_name.h"
#include "runtime/io/hf_shards.h"
#include "runtime/io/staged_directory.h"

namespace hecate::launcher {
namespace {

constexpr size_t kPieceElements = size_t{1} << 20;

bool has_data(const RunConfig& config) {
  return !config.data.path.empty() || !config.data.mixture.empty();
}

RunConfig run_config(const HubConfig& hub, const std::vector<std::string>& overrides) {
  RunConfig base;
  base.model = hub.model;
  base.router = hub.router;
  base.data.document_end = hub.document_end;
  config::Settings settings;
  settings.add_text(config::to_toml(base), "config.json");
  for (const std::string& each : overrides) settings.add_override(each);
  const RunConfig config = load_run_config(settings, {"data"});
  return has_data(config) ? with_vocabulary(config) : config;
}

// The hub's tensors, checked, and how they make up each parameter.
class HubWeights {
 public:
  HubWeights(const std::filesystem::path& directory, const HubConfig& hub, const RunConfig& config)
      : directory_(directory),
        tensors_(directory),
        layout_(config.model),
        parts_(layout_.specs().size()) {
    std::set<std::string> known;
    if (config.model.tied_head) known.insert("lm_head.weight");  // a copy of the embedding
    for (models::HubTensor& part : models::hub_tensors(hub.architecture, config.model, layout_)) {
      check(part);
      known.insert(part.name);
      parts_[static_cast<size_t>(part.parameter)].push_back(std::move(part));
    }
    for (const std::string& name : tensors_.names()) check_known(name, known);
  }

  const models::ParameterLayout& layout() const { return layout_; }

  /// Hands over the parameter as Real, in pieces.
  template <class Sink>
  void read(models::ParameterId id, const Sink& sink) {
    for (const models::HubTensor& part : parts_[static_cast<size_t>(id)]) {
      const io::TensorInfo& info = tensors_.at(part.name);
      const std::span<const std::byte> bytes = tensors_.bytes(part.name);
      const auto elements = static_cast<size_t>(part.shape.size());
      const size_t width = bytes.size() / elements;
      for (size_t done = 0; done < elements; done += kPieceElements) {
        piece_.resize(std::min(kPieceElements, elements - done));
        decode(info.dtype, bytes.subspan(done * width, piece_.size() * width), piece_);
        sink(std::span<const Real>(piece_));
      }
    }
  }

 private:
  void check(const models::HubTensor& wanted) {
    const io::TensorInfo& found = tensors_.at(wanted.name);
    const auto where = [&] {
      return concat(tensors_.file_of(wanted.name).path().string(), ": tensor '", wanted.name, "'");
    };
    HECATE_CHECK(io::native_shape(found) == wanted.shape, where(), ": expected shape ",
                 wanted.shape, ", found ", io::native_shape(found));
    HECATE_CHECK(is_decodable(found.dtype), where(), ": dtype ", found.dtype,
                 " is not supported, expected F64, F32, BF16 or F16");
  }

  void check_known(const std::string& name, const std::set<std::string>& known) {
    // Old files keep the rotary frequencies, which config.json gives as well.
    if (known.contains(name) || name.ends_with(".rotary_emb.inv_freq")) return;
    const std::vector<std::string> names(known.begin(), known.end());
    const std::string nearest = nearest_name(name, names);
    throw InvalidArgument(concat(directory_.string(), ": tensor '", name,
                                 "' is no part of the model that config.json describes",
                                 nearest.empty() ? "" : concat("; nearest: '", nearest, "'")));
  }

  std::filesystem::path directory_;
  io::ShardedTensors tensors_;
  models::ParameterLayout layout_;
  std::vector<std::vector<models::HubTensor>> parts_;  // per parameter, in the order of rows
  std::vector<Real> piece_;
};

// Parameters are read from the hub's files when the writer comes to them.
checkpoint::Snapshot snapshot_of(const std::shared_ptr<HubWeights>& weights,
                                 const Progress& progress, const ConvertProgress& report) {
  checkpoint::Snapshot snapshot = make_snapshot(progress);
  const auto done = std::make_shared<int64_t>(0);
  const int64_t total = weights->layout().parameters();
  for (size_t i = 0; i < weights->layout().specs().size(); ++i) {
    const auto id = static_cast<models::ParameterId>(i);
    const models::ParameterSpec& spec = weights->layout().spec(id);
    checkpoint::TensorSlice slice;
    static_cast<checkpoint::Slice&>(slice) = checkpoint::whole_slice(
        spec.name, checkpoint::Kind::parameter, dtype_of<Real>(), spec.shape);
    slice.produce = [=](const auto& sink) {
      weights->read(id, [&](std::span<const Real> values) {
        sink(std::as_bytes(values));
        *done += static_cast<int64_t>(values.size());
        if (report) report(*done, total);
      });
    };
    snapshot.slices.push_back(std::move(slice));
  }
  return snapshot;
}

}  // namespace

ConvertReport import_hub(const ImportOptions& options, const ConvertProgress& progress) {
  io::require_free(options.run);
  const std::filesystem::path file = options.from / "config.json";
  const HubConfig hub = parse_hub_config(io::read_file(file), file.string());
  const RunConfig config = run_config(hub, options.overrides);
  const auto weights = std::make_shared<HubWeights>(options.from, hub, config);
  io::StagedDirectory staged(options.run);
  const std::string text = config::to_toml(config);
  const RunDirectory run = RunDirectory::create(staged.path(), text);
  if (has_data(config)) keep_tokenizer(config.data, run.path());
  Progress state;
  state.config = text;
  checkpoint::CheckpointWriter writer({.directory = run.checkpoints()});
  writer.save(snapshot_of(weights, state, progress), weights);
  writer.wait();
  staged.publish();
  return {.architecture = std::string(models::name_of(hub.architecture)),
          .parameters = weights->layout().parameters(),
          .files = {}};
}

}  // namespace hecate::launcher
