#include "runtime/io/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "runtime/io/checksum.h"

namespace hecate::io {
namespace {

constexpr size_t kBuffer = size_t{256} << 10;

class Descriptor {
 public:
  Descriptor(const std::filesystem::path& path, int flags) : value_(::open(path.c_str(), flags)) {
    if (value_ < 0) throw io_error(path, "open", errno);
  }
  ~Descriptor() { ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }

 private:
  int value_;
};

size_t read_some(const Descriptor& file, const std::filesystem::path& path, void* into,
                 size_t bytes) {
  for (;;) {
    const ssize_t count = ::read(file.get(), into, bytes);
    if (count >= 0) return static_cast<size_t>(count);
    if (errno != EINTR) throw io_error(path, "read", errno);
  }
}

bool no_room(int reason) {
  return reason == ENOSPC || reason == EDQUOT || reason == EFBIG;
}

}  // namespace

IoError io_error(const std::filesystem::path& path, std::string_view operation, int reason) {
  return IoError(concat(path.string(), ": ", operation, ": ", std::strerror(reason)));
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw io_error(path, "stat", errno);
  if (S_ISDIR(status.st_mode)) throw io_error(path, "map", EISDIR);
  if (status.st_size == 0) return;  // an empty mapping is an error to the system
  const auto size = static_cast<size_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (data == MAP_FAILED) throw io_error(path, "map", errno);
  data_ = static_cast<const std::byte*>(data);
  size_ = size;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

FileWriter::FileWriter(const std::filesystem::path& path, uint64_t expected_bytes)
    : path_(path), expected_(expected_bytes) {
  descriptor_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw failure("create", errno);
  buffer_.reserve(kBuffer);
}

FileWriter::~FileWriter() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

IoError FileWriter::failure(std::string_view operation, int reason) const {
  if (!no_room(reason)) return io_error(path_, operation, reason);
  const uint64_t wanted = std::max(expected_, given_);
  return IoError(concat(path_.string(), ": ", operation, ": ",
                        reason == EFBIG ? "file size limit reached" : "disk full", " (",
                        std::strerror(reason), "): ", wanted - on_disk_, " of ", wanted,
                        " bytes did not fit"));
}

void FileWriter::write(std::span<const std::byte> bytes) {
  HECATE_CHECK(descriptor_ >= 0, path_.string(), ": write after finish");
  given_ += bytes.size();
  checksum_ = crc32c(bytes, checksum_);
  if (buffer_.size() + bytes.size() > kBuffer) flush();
  if (bytes.size() >= kBuffer)
    write_through(bytes);
  else
    buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void FileWriter::flush() {
  write_through(std::as_bytes(std::span(buffer_)));
  buffer_.clear();
}

void FileWriter::write_through(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw failure("write", errno);
    on_disk_ += static_cast<uint64_t>(count);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void FileWriter::finish() {
  HECATE_CHECK(descriptor_ >= 0, path_.string(), ": finish called twice");
  flush();
  if (::fsync(descriptor_) != 0) {
    on_disk_ = 0;  // what the kernel had accepted may be lost
    throw failure("fsync", errno);
  }
  if (::close(std::exchange(descriptor_, -1)) != 0) throw failure("close", errno);
}

std::string read_file(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw io_error(path, "stat", errno);
  // One byte more than the size: the read that finds the end then needs no second buffer.
  std::string content(static_cast<size_t>(status.st_size) + 1, '\0');
  size_t filled = 0;
  while (const size_t count =
             read_some(file, path, content.data() + filled, content.size() - filled)) {
    filled += count;
    if (filled == content.size()) content.resize(2 * filled);
  }
  content.resize(filled);
  return content;
}

void write_aside(const std::filesystem::path& path, const std::function<void(FileWriter&)>& produce,
                 uint64_t expected_bytes) {
  const auto aside = path.parent_path() / concat(".", path.filename().string(), ".tmp");
  try {
    FileWriter writer(aside, expected_bytes);
    produce(writer);
    writer.finish();
    rename_path(aside, path);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(aside, ignored);
    throw;
  }
  sync_directory(path.parent_path());
}

void write_file(const std::filesystem::path& path, std::string_view content) {
  write_aside(
      path, [&](FileWriter& writer) { writer.write(content); }, content.size());
}

void rename_path(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0)
    throw io_error(from, concat("rename to ", to.string()), errno);
}

void sync_directory(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory.empty() ? "." : directory;
  const Descriptor file(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (::fsync(file.get()) != 0) throw io_error(path, "fsync", errno);
}

FileDigest digest_file(const std::filesystem::path& path) {
  const Descriptor file(path, O_RDONLY | O_CLOEXEC);
  std::vector<std::byte> buffer(size_t{1} << 20);
  FileDigest digest;
  while (const size_t count = read_some(file, path, buffer.data(), buffer.size())) {
    digest.checksum = crc32c(std::span(buffer).first(count), digest.checksum);
    digest.bytes += count;
  }
  return digest;
}

}  // namespace hecate::io
