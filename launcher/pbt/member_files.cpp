#include "launcher/pbt/member_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>

#include "launcher/checkpoint/directory.h"
#include "launcher/run/run_directory.h"
#include "launcher/train/loaded_model.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "runtime/io/staged_directory.h"

namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kKept = 3;  // checkpoints of a member: who copies one has time to link it
constexpr std::chrono::milliseconds kLockPause{50};

void take_file(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_hard_link(from, to, error);
  if (!error) return;
  fs::copy_file(from, to, error);
  if (error) throw io::io_error(from, "copy to " + to.string(), error.value());
}

// A whole checkpoint appears at `to` or nothing.
void take_checkpoint(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_directories(to, error);
  if (error) throw io::io_error(to, "create", error.value());
  fs::directory_iterator entry(from, error);
  if (error) throw io::io_error(from, "list", error.value());
  for (; !error && entry != fs::directory_iterator(); entry.increment(error))
    take_file(entry->path(), to / entry->path().filename());
  if (error) throw io::io_error(from, "list", error.value());
  const std::vector<std::string> problems = checkpoint::verify(to);
  if (!problems.empty()) throw IoError(concat(from.string(), ": ", problems.front()));
}

// Names come from other machines.
void check_name(const std::string& name) {
  HECATE_CHECK(!name.empty() && name.front() != '.' && name.find('/') == std::string::npos &&
                   name.size() < 200,
               "'", name, "' is no file of a checkpoint");
}

fs::path incoming(const fs::path& checkpoints, int64_t step) {
  return checkpoints / concat(".tmp-", checkpoint::step_name(step));
}

}  // namespace

RunConfig with_settings(const RunConfig& config, const population::Settings& settings) {
  config::Settings all;
  all.add_text(config::to_toml(config), "the population's configuration");
  for (const auto& [key, text] : settings) all.add_override(key + "=" + text);
  RunConfig member = load_run_config(all);
  member.checkpoint.keep = std::max(member.checkpoint.keep, kKept);
  return member;
}

void copy_member(const fs::path& donor, int64_t step, const fs::path& directory,
                 const RunConfig& config) {
  io::StagedDirectory staged(directory);
  const RunDirectory run = RunDirectory::create(staged.path(), config::to_toml(config));
  keep_tokenizer(config.data, run.path());
  const std::string name = checkpoint::step_name(step);
  take_checkpoint(donor / "checkpoints" / name, run.checkpoints() / name);
  staged.publish();
}

void begin_member(const fs::path& directory, const RunConfig& config) {
  if (fs::exists(directory / "config.toml")) return;
  io::StagedDirectory staged(directory);
  const RunDirectory run = RunDirectory::create(staged.path(), config::to_toml(config));
  keep_tokenizer(config.data, run.path());
  staged.publish();
}

MemberLock::MemberLock(const fs::path& directory, double seconds) {
  const fs::path path = directory.string() + ".lock";
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw io::io_error(path, "open", errno);
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (std::chrono::steady_clock::now() >= until) {
      ::close(descriptor_);
      throw IoError(concat(directory.string(), ": another worker still writes there"));
    }
    std::this_thread::sleep_for(kLockPause);
  }
}

MemberLock::~MemberLock() {
  ::close(descriptor_);
}

std::vector<pbt::StoredFile> stored_files(const fs::path& checkpoint) {
  std::vector<pbt::StoredFile> files;
  for (const auto& entry : fs::directory_iterator(checkpoint)) {
    const io::FileDigest digest = io::digest_file(entry.path());
    files.push_back({.name = entry.path().filename().string(),
                     .bytes = digest.bytes,
                     .checksum = digest.checksum});
  }
  std::ranges::sort(files, {}, &pbt::StoredFile::name);
  return files;
}

fs::path MemberStore::checkpoints(const std::string& directory) const {
  return RunDirectory::at(root_ / directory).checkpoints();
}

std::vector<pbt::StoredFile> MemberStore::files(const std::string& directory, int64_t step,
                                                int64_t& found) {
  const checkpoint::Latest latest = checkpoint::find_latest(checkpoints(directory));
  if (!latest.checkpoint || latest.checkpoint->step < step) {
    HECATE_CHECK(step == 0, directory, " has no checkpoint of step ", step);
    return {};
  }
  found = latest.checkpoint->step;
  return stored_files(latest.checkpoint->path);
}

std::string MemberStore::read(const std::string& directory, int64_t step, const std::string& file,
                              uint64_t offset, uint64_t bytes) {
  check_name(file);
  const fs::path path = checkpoints(directory) / checkpoint::step_name(step) / file;
  std::ifstream in(path, std::ios::binary);
  if (!in) throw IoError(concat(path.string(), ": cannot be opened"));
  std::string content(bytes, '\0');
  in.seekg(static_cast<std::streamoff>(offset));
  in.read(content.data(), static_cast<std::streamsize>(bytes));
  content.resize(static_cast<size_t>(in.gcount()));
  return content;
}

void MemberStore::write(const std::string& directory, int64_t step, const std::string& file,
                        uint64_t offset, const std::string& bytes) {
  check_name(file);
  const fs::path run = root_ / directory;
  begin_member(run, config_);
  const fs::path aside = incoming(checkpoints(directory), step);
  std::error_code error;
  fs::create_directories(aside, error);
  if (error) throw io::io_error(aside, "create", error.value());
  const fs::path path = aside / file;
  const int anew = offset == 0 ? O_TRUNC : 0;
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | anew, 0666);
  if (descriptor < 0) throw io::io_error(path, "open", errno);
  size_t written = 0;
  int reason = 0;
  while (written < bytes.size() && reason == 0) {
    const ssize_t count = ::pwrite(descriptor, bytes.data() + written, bytes.size() - written,
                                   static_cast<off_t>(offset + written));
    if (count >= 0)
      written += static_cast<size_t>(count);
    else if (errno != EINTR)
      reason = errno;
  }
  ::close(descriptor);
  if (reason != 0) throw io::io_error(path, "write", reason);
}

void MemberStore::publish(const std::string& directory, int64_t step,
                          const std::vector<pbt::StoredFile>& files) {
  const fs::path all = checkpoints(directory), aside = incoming(all, step);
  for (const pbt::StoredFile& file : files) {
    check_name(file.name);
    const io::FileDigest digest = io::digest_file(aside / file.name);
    if (digest.bytes != file.bytes || digest.checksum != file.checksum)
      throw IoError(concat(file.name, " arrived with ", digest.bytes, " bytes, checksum ",
                           digest.checksum, ": expected ", file.bytes, ", ", file.checksum));
  }
  const std::vector<std::string> problems = checkpoint::verify(aside);
  if (!problems.empty()) throw IoError(problems.front());
  checkpoint::publish(all, aside, step);
  checkpoint::prune(all, step, kKept);
}

void MemberStore::copy(const std::string& donor, int64_t step, const std::string& directory,
                       const population::Settings& settings) {
  copy_member(root_ / donor, step, root_ / directory, with_settings(config_, settings));
}

}  // namespace hecate::launcher
