#include <unistd.h>

#include <iomanip>
#include <iostream>
#include <memory>
#include <sstream>

#include "launcher/commands/commands.h"
#include "launcher/run/progress_line.h"
#include "runtime/base/error.h"
#include "runtime/data/prepare.h"

namespace hecate::launcher {
namespace {

constexpr int kBarWidth = 30;

struct Options {
  std::vector<std::string> files;
  std::string tokenizer = "sentencepiece";
  int64_t vocabulary = 0;
  std::string out;
  double validation_share = 0.1;
  std::string separator;
  bool overwrite = false;
};

std::string mebibytes(uint64_t bytes) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(1) << static_cast<double>(bytes) / (1 << 20) << " MiB";
  return out.str();
}

std::string progress_text(const data::PrepareProgress& progress, bool bar) {
  if (progress.total == 0) return concat(progress.stage, ": ", mebibytes(progress.done));
  const double share = static_cast<double>(progress.done) / static_cast<double>(progress.total);
  std::ostringstream out;
  out << progress.stage << ": ";
  if (bar) {
    const int full = static_cast<int>(share * kBarWidth);
    out << "[" << std::string(static_cast<size_t>(full), '#')
        << std::string(static_cast<size_t>(kBarWidth - full), '.') << "] ";
  }
  out << static_cast<int>(share * 100) << "% of " << mebibytes(progress.total);
  return out.str();
}

int prepare(const Options& options) {
  data::PrepareOptions prepare;
  prepare.files.assign(options.files.begin(), options.files.end());
  prepare.tokenizer = {options.tokenizer, options.vocabulary};
  prepare.out = options.out;
  prepare.validation_share = options.validation_share;
  prepare.document_separator = options.separator;
  prepare.overwrite = options.overwrite;
  data::DatasetInfo info;
  {
    const bool terminal = is_terminal(STDERR_FILENO);
    StatusLine line(std::cerr, terminal, 2);
    std::string stage;
    info = data::prepare(prepare, [&](const data::PrepareProgress& progress) {
      const bool news =
          progress.stage != stage || (progress.total > 0 && progress.done == progress.total);
      stage = progress.stage;
      line.show(progress_text(progress, terminal), std::chrono::steady_clock::now(), news);
    });
  }
  std::cout << options.out << ": " << info.train.tokens << " training tokens, "
            << info.validation.tokens << " held out, vocabulary " << info.vocabulary << " ("
            << info.tokenizer << ")" << std::endl;
  return 0;
}

}  // namespace

void add_data_command(Command root) {
  Command command = root.command("data", "Prepare data sets")
                        .command("prepare", "Turn text files into a data set");
  const auto options = std::make_shared<Options>();
  command.arguments("files", options->files, "text files, plain or gzip");
  command.option("--tokenizer", options->tokenizer, "NAME", "byte or sentencepiece");
  command.option("--vocab", options->vocabulary, "N",
                 "token ids; 0: 257 for byte, 2048 for sentencepiece");
  command.option("--out", options->out, "DIR", "directory of the data set");
  command.option("--validation", options->validation_share, "SHARE",
                 "share of the text, at its end, that is held out");
  command.option("--separator", options->separator, "LINE",
                 "a line that ends a document inside a file");
  command.flag("--overwrite", options->overwrite, "replace the data set in DIR");
  command.action([options] {
    HECATE_CHECK(!options->out.empty(), "data prepare: --out DIR is required");
    return prepare(*options);
  });
}

}  // namespace hecate::launcher
