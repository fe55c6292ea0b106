#include "scheduler/pbt/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "runtime/base/error.h"

namespace hecate::pbt {
namespace {

IoError failure(const std::filesystem::path& path, std::string_view operation, int reason) {
  return IoError(concat(path.string(), ": ", operation, ": ",
                        reason == ENOSPC ? "the disk is full" : std::strerror(reason)));
}

std::string read_all(int descriptor, const std::filesystem::path& path) {
  std::string text;
  std::array<char, 1 << 16> bytes;
  while (true) {
    const ssize_t count = ::read(descriptor, bytes.data(), bytes.size());
    if (count == 0) return text;
    if (count < 0 && errno != EINTR) throw failure(path, "read", errno);
    if (count > 0) text.append(bytes.data(), static_cast<size_t>(count));
  }
}

}  // namespace

Journal::Journal(std::filesystem::path path) : path_(std::move(path)) {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw failure(path_, "open", errno);
  try {
    HECATE_CHECK(::flock(descriptor_, LOCK_EX | LOCK_NB) == 0, path_.string(),
                 ": another controller has this population");
    const std::string text = read_all(descriptor_, path_);
    const size_t whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
    for (size_t begin = 0; begin < whole;) {
      const size_t end = text.find('\n', begin);
      lines_.push_back(text.substr(begin, end - begin));
      begin = end + 1;
    }
    if (::ftruncate(descriptor_, static_cast<off_t>(whole)) != 0)
      throw failure(path_, "truncate", errno);
    ::lseek(descriptor_, 0, SEEK_END);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

Journal::~Journal() {
  ::close(descriptor_);
}

void Journal::append(std::string_view line) {
  waiting_ += line;
  waiting_ += '\n';
}

void Journal::sync() {
  if (broken_) throw failure(path_, "append after a failure", EIO);
  if (waiting_.empty()) return;
  const off_t before = ::lseek(descriptor_, 0, SEEK_END);
  size_t written = 0;
  int reason = 0;
  while (written < waiting_.size() && reason == 0) {
    const ssize_t count =
        ::write(descriptor_, waiting_.data() + written, waiting_.size() - written);
    if (count >= 0)
      written += static_cast<size_t>(count);
    else if (errno != EINTR)
      reason = errno;
  }
  if (reason == 0 && ::fdatasync(descriptor_) != 0) reason = errno;
  if (reason != 0) {
    broken_ = true;
    if (::ftruncate(descriptor_, before) != 0) throw failure(path_, "truncate", errno);
    throw failure(path_, "append", reason);
  }
  waiting_.clear();
}

}  // namespace hecate::pbt
