#include "launcher/train/loaded_model.h"

#include <spdlog/spdlog.h>

#include "launcher/checkpoint/directory.h"
#include "runtime/data/loader.h"

namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTokenizer = "tokenizer";

fs::path find_checkpoint(const fs::path& path) {
  if (fs::exists(path / checkpoint::kManifestName)) {
    const std::vector<std::string> problems = checkpoint::verify(path);
    if (!problems.empty())
      throw IoError(concat("the checkpoint cannot be used: ", problems.front()));
    return path;
  }
  const fs::path directory = fs::exists(path / "checkpoints") ? path / "checkpoints" : path;
  const checkpoint::Latest latest = checkpoint::find_latest(directory);
  for (const std::string& warning : latest.warnings) spdlog::warn("{}", warning);
  if (!latest.checkpoint)
    throw IoError(concat(path.string(),
                         ": neither a checkpoint, nor a directory with a valid one, nor a run"));
  return latest.checkpoint->path;
}

fs::path tokenizer_beside(const LoadedModel& model) {
  return fs::absolute(model.path).parent_path().parent_path() / kTokenizer;
}

}  // namespace

LoadedModel open_model(const fs::path& path) {
  if (!fs::exists(path)) throw IoError(concat(path.string(), ": no such file or directory"));
  LoadedModel model;
  model.path = find_checkpoint(path);
  const checkpoint::Checkpoint saved(model.path);
  model.step = saved.step();
  config::Settings settings;
  settings.add_text(read_progress(saved).config, (model.path / "manifest.json").string());
  model.config = load_run_config(settings, {"data"});
  return model;
}

std::unique_ptr<data::Tokenizer> kept_tokenizer(const LoadedModel& model) {
  const fs::path beside = tokenizer_beside(model);
  return fs::exists(beside) ? data::load_tokenizer(beside) : nullptr;
}

std::unique_ptr<data::Tokenizer> open_tokenizer(const LoadedModel& model) {
  if (auto kept = kept_tokenizer(model)) return kept;
  const data::DataConfig& data = model.config.data;
  if (!data.path.empty() || !data.mixture.empty()) {
    const data::DataDescription description = data::describe(data);
    if (!description.tokenizer_directory.empty())
      return data::load_tokenizer(description.tokenizer_directory);
  }
  throw IoError(concat("no tokenizer: neither ", tokenizer_beside(model).string(),
                       " nor the run's data has one"));
}

void keep_tokenizer(const data::DataConfig& data, const fs::path& run) {
  const data::DataDescription description = data::describe(data);
  if (description.tokenizer_directory.empty() || fs::exists(run / kTokenizer)) return;
  const fs::path target = run / kTokenizer;
  fs::create_directory(target);
  data::load_tokenizer(description.tokenizer_directory)->save(target);
}

}  // namespace hecate::launcher
