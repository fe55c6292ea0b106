#include <algorithm>
#include <map>

#include "launcher/convert/convert.h"
#include "launcher/convert/elements.h"
#include "launcher/convert/hub_config.h"
#include "launcher/train/loaded_model.h"
#include "runtime/io/hf_shards.h"
#include "runtime/io/staged_directory.h"

namespace hecate::launcher {
namespace {

constexpr int64_t kPieceElements = int64_t{1} << 22;

// Reads a checkpoint's parameters as the hub's tensors.
class Reader {
 public:
  Reader(const LoadedModel& model, DType dtype)
      : saved_(model.path),
        layout_(model.config.model),
        dtype_(dtype),
        tensors_(
            models::hub_tensors(models::hub_architecture(model.config.model, model.config.router),
                                model.config.model, layout_)) {
    for (const models::HubTensor& tensor : tensors_) by_name_.emplace(tensor.name, &tensor);
  }

  const models::ParameterLayout& layout() const { return layout_; }

  std::vector<io::TensorInfo> infos() const {
    std::vector<io::TensorInfo> infos;
    for (const models::HubTensor& tensor : tensors_)
      infos.push_back(io::tensor_info(tensor.name, dtype_, tensor.shape));
    return infos;
  }

  /// Some rows at a time. @param done called with the elements of each piece.
  template <class Done>
  void read(const std::string& name, const io::ByteSink& sink, const Done& done) {
    const models::HubTensor& tensor = *by_name_.at(name);
    const int64_t rows = tensor.shape[0], width = tensor.shape.size() / rows;
    const int64_t step = std::max<int64_t>(1, kPieceElements / width);
    for (int64_t row = 0; row < rows; row += step) {
      const int64_t count = std::min(step, rows - row);
      values_.resize(static_cast<size_t>(count * width));
      load(tensor, tensor.first_row + row, count);
      encode(dtype_, values_, bytes_);
      sink(bytes_);
      done(count * width);
    }
  }

 private:
  void load(const models::HubTensor& tensor, int64_t first_row, int64_t rows) {
    const models::ParameterSpec& spec = layout_.spec(tensor.parameter);
    const bool vector = spec.shape.rank() == 1;
    checkpoint::TargetSlice target;
    static_cast<checkpoint::Slice&>(target) = checkpoint::whole_slice(
        spec.name, checkpoint::Kind::parameter, dtype_of<Real>(), spec.shape);
    target.offset[0] = first_row;
    target.shape = vector ? Shape{rows} : Shape{rows, spec.shape[1]};
    target.data = values_.data();
    saved_.load({&target, 1});
  }

  checkpoint::Checkpoint saved_;
  models::ParameterLayout layout_;
  DType dtype_;
  std::vector<models::HubTensor> tensors_;
  std::map<std::string, const models::HubTensor*> by_name_;
  std::vector<Real> values_;
  std::vector<std::byte> bytes_;
};

int64_t document_end(const LoadedModel& model) {
  const auto tokenizer = kept_tokenizer(model);
  return tokenizer ? tokenizer->document_end() : model.config.data.document_end;
}

}  // namespace

ConvertReport export_hub(const ExportOptions& options, const ConvertProgress& progress) {
  HECATE_CHECK(options.shard_bytes > 0, "convert: files of at most 0 bytes");
  io::require_free(options.to);
  const LoadedModel model = open_model(options.model);
  const HubConfig hub = {
      .architecture = models::hub_architecture(model.config.model, model.config.router),
      .model = model.config.model,
      .router = model.config.router,
      .document_end = document_end(model)};
  Reader reader(model, options.weights);
  ConvertReport report = {.architecture = std::string(models::name_of(hub.architecture)),
                          .parameters = reader.layout().parameters(),
                          .files = {}};
  io::StagedDirectory staged(options.to);
  int64_t done = 0;
  report.files = io::write_sharded(staged.path(), reader.infos(), options.shard_bytes,
                                   [&](const io::TensorInfo& tensor, const io::ByteSink& sink) {
                                     reader.read(tensor.name, sink, [&](int64_t elements) {
                                       done += elements;
                                       if (progress) progress(done, report.parameters);
                                     });
                                   });
  io::write_file(staged.path() / "config.json", hub_config_text(hub, options.weights));
  staged.publish();
  return report;
}

}  // namespace hecate::launcher
