#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/convert/convert.h"
#include "launcher/run/logging.h"
#include "launcher/run/progress_line.h"
#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"

namespace hecate::launcher {
namespace {

struct Options {
  std::string model;
  std::string from_hf, to_hf;
  std::string out;
  std::vector<std::string> overrides;
  std::string dtype = "f32";
  double shard_mb = 5000;
};

class Progress {
 public:
  void show(int64_t done, int64_t total) {
    line_.show(concat("convert: ", 100 * done / std::max<int64_t>(1, total), "% of ", total,
                      " parameters"),
               std::chrono::steady_clock::now(), done == total);
  }

 private:
  StatusLine line_{std::cerr, is_terminal(STDERR_FILENO), 2};
};

DType dtype_of_option(const std::string& name) {
  if (name == "f32") return DType::f32;
  if (name == "bf16") return DType::bf16;
  const std::vector<std::string> known = {"f32", "bf16"};
  throw InvalidArgument(concat("convert: --dtype ", name,
                               ": expected f32 or bf16; nearest: ", nearest_name(name, known)));
}

int import_model(const Options& options) {
  HECATE_CHECK(options.model.empty(), "convert: --from-hf makes a run, but CKPT '", options.model,
               "' was given");
  HECATE_CHECK(!options.out.empty(), "convert: --from-hf needs --out DIR, the run to make");
  ConvertReport report;
  {
    Progress progress;
    report =
        import_hub({.from = options.from_hf, .run = options.out, .overrides = options.overrides},
                   [&](int64_t done, int64_t total) { progress.show(done, total); });
  }
  std::cout << options.out << ": a run with the " << report.architecture << " of "
            << options.from_hf << ", " << report.parameters << " parameters\n";
  return 0;
}

int export_model(const Options& options) {
  HECATE_CHECK(!options.model.empty(),
               "convert: --to-hf needs CKPT, a checkpoint or run directory");
  HECATE_CHECK(options.out.empty() && options.overrides.empty(),
               "convert: --out and --set belong to --from-hf");
  HECATE_CHECK(options.shard_mb > 0, "convert: --shard-mb ", options.shard_mb, ", above 0");
  ConvertReport report;
  {
    Progress progress;
    report = export_hub({.model = options.model,
                         .to = options.to_hf,
                         .weights = dtype_of_option(options.dtype),
                         .shard_bytes = static_cast<uint64_t>(std::ceil(1e6 * options.shard_mb))},
                        [&](int64_t done, int64_t total) { progress.show(done, total); });
  }
  std::cout << options.to_hf << ": " << report.architecture << ", " << report.parameters
            << " parameters in " << report.files.size()
            << (report.files.size() == 1 ? " file\n" : " files\n");
  return 0;
}

int run(const Options& options) {
  start_logging({});
  HECATE_CHECK(options.from_hf.empty() != options.to_hf.empty(),
               "convert: give one of --from-hf DIR and --to-hf DIR");
  return options.from_hf.empty() ? export_model(options) : import_model(options);
}

}  // namespace

void add_convert_command(Command root) {
  Command command = root.command(
      "convert", "Weights to and from Hugging Face's layout (Mixtral, OLMoE, Qwen3-MoE)");
  const auto options = std::make_shared<Options>();
  command.argument("CKPT", options->model, "checkpoint or run directory to export", false);
  command.option("--to-hf", options->to_hf, "DIR", "write CKPT there as Hugging Face's files");
  command.option("--dtype", options->dtype, "TYPE", "of exported weights: f32 or bf16");
  command.option("--shard-mb", options->shard_mb, "MB", "largest exported file, in 10^6 bytes");
  command.option("--from-hf", options->from_hf, "DIR",
                 "import the config.json and safetensors files there");
  command.option("--out", options->out, "DIR", "the run directory that an import makes");
  command.option("--set", options->overrides, "KEY=VALUE",
                 "import: sets one key of the run, such as data.path=data/mine; may be repeated");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
