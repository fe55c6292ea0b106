#include <chrono>
#include <filesystem>
#include <fstream>

#include "launcher/config/value.h"
#include "launcher/report/step_lines.h"
#include "launcher/run/run_directory.h"
#include "launcher/top/source.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

constexpr uint64_t kMostBytes = 16 << 20;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// 0: the configuration does not say.
int64_t total_steps(const RunDirectory& directory) {
  try {
    const config::Value whole =
        config::parse_toml(io::read_file(directory.config()), directory.config().string());
    const config::Value* train = whole.find("train");
    const config::Value* steps = train == nullptr ? nullptr : train->find("steps");
    return steps == nullptr ? 0 : steps->integer;
  } catch (const InvalidArgument&) {
    return 0;
  }
}

class RunFollower : public TopSource {
 public:
  explicit RunFollower(const std::string& directory)
      : directory_(RunDirectory::open(directory)), name_(directory) {}

  std::string name() const override { return name_; }

  std::string poll(monitoring::TopState& state) override {
    // A run that is resumed may be given more steps.
    if (const int64_t steps = total_steps(directory_); steps > 0)
      state.total_steps = static_cast<double>(steps);
    std::error_code error;
    const uint64_t size = std::filesystem::file_size(directory_.steps(), error);
    if (error) return "waiting for the first step";
    if (size < offset_) restart();
    if (offset_ == 0 && size > kMostBytes) {
      offset_ = size - kMostBytes;
      skip_ = true;
    }
    if (size > offset_)
      take(read_to(size), state);
    else if (std::isfinite(written_))
      state.age_seconds = now_seconds() - written_;
    return std::isfinite(state.step) ? "" : "waiting for the first step";
  }

 private:
  // The file was cut: the run goes on from a checkpoint.
  void restart() {
    offset_ = 0;
    rest_.clear();
    skip_ = false;
  }

  std::string read_to(uint64_t size) {
    std::ifstream in(directory_.steps(), std::ios::binary);
    in.seekg(static_cast<std::streamoff>(offset_));
    std::string text(size - offset_, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.gcount() == 0) throw IoError(concat(directory_.steps().string(), ": cannot be read"));
    text.resize(static_cast<size_t>(in.gcount()));
    offset_ += text.size();
    return text;
  }

  void take(const std::string& text, monitoring::TopState& state) {
    rest_ += text;
    size_t begin = 0;
    for (size_t end = rest_.find('\n'); end != std::string::npos; end = rest_.find('\n', begin)) {
      const std::optional<StepLine> line =
          skip_ ? std::nullopt
                : parse_step_line(std::string_view(rest_).substr(begin, end - begin));
      skip_ = false;
      begin = end + 1;
      if (!line) continue;
      take_columns(line->values, now_seconds(), state);
      if (std::isfinite(line->value("time"))) written_ = line->value("time");
    }
    rest_.erase(0, begin);
  }

  RunDirectory directory_;
  std::string name_, rest_;  // the beginning of a line that is not whole yet
  uint64_t offset_ = 0;
  bool skip_ = false;  // what comes first is the end of a line
  double written_ = monitoring::TopState::kNone;
};

}  // namespace

std::unique_ptr<TopSource> follow_run(const std::string& directory) {
  return std::make_unique<RunFollower>(directory);
}

}  // namespace hecate::launcher
