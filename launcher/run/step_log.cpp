#include "launcher/run/step_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>

#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

std::optional<int64_t> step_of(std::string_view line) {
  const auto json = nlohmann::json::parse(line, nullptr, false);
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer())
    return std::nullopt;
  return json["step"].get<int64_t>();
}

// Bytes of the leading lines that belong to steps up to `step`.
size_t kept_bytes(const std::filesystem::path& path, std::string_view text, int64_t step) {
  size_t begin = 0;
  for (int number = 1; begin < text.size(); ++number) {
    const size_t end = text.find('\n', begin);
    if (end == std::string_view::npos) return begin;
    const std::optional<int64_t> found = step_of(text.substr(begin, end - begin));
    if (!found && end + 1 == text.size()) return begin;
    HECATE_CHECK(found, path.string(), ":", number,
                 ": expected a JSON object with an integer \"step\"");
    if (*found > step) return begin;
    begin = end + 1;
  }
  return begin;
}

}  // namespace

StepLog::StepLog(std::filesystem::path path, int64_t step) : path_(std::move(path)) {
  const size_t kept =
      std::filesystem::exists(path_) ? kept_bytes(path_, io::read_file(path_), step) : 0;
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw io::io_error(path_, "open", errno);
  if (::ftruncate(descriptor_, static_cast<off_t>(kept)) != 0) {
    const int reason = errno;
    ::close(descriptor_);
    throw io::io_error(path_, "truncate", reason);
  }
}

StepLog::~StepLog() {
  ::close(descriptor_);
}

void StepLog::append(std::string_view line) {
  HECATE_CHECK(line.find('\n') == std::string_view::npos, path_.string(),
               ": a line of the step log must not contain line breaks");
  std::string text(line);
  text += '\n';
  const off_t before = ::lseek(descriptor_, 0, SEEK_END);
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(descriptor_, text.data() + written, text.size() - written);
    if (count >= 0) {
      written += static_cast<size_t>(count);
    } else if (errno != EINTR) {
      const int reason = errno;
      // Best effort: a torn line that stays is dropped by the next resume.
      if (written > 0 && ::ftruncate(descriptor_, before) != 0)
        throw io::io_error(path_, "append (a torn line stays)", reason);
      throw io::io_error(path_, "append", reason);
    }
  }
}

}  // namespace hecate::launcher
