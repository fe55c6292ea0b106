#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "launcher/config/run_config.h"
#include "scheduler/pbt/store.h"

/// The files of a population: every incarnation of a member is a run directory of its own under
/// `members/`, so that a copy that is not finished touches nothing.
namespace hecate::launcher {

/// `config` with a member's hyper-parameters. @throws InvalidArgument for impossible values.
RunConfig with_settings(const RunConfig& config, const population::Settings& settings);

/// Makes `directory` anew as a run that goes on from the donor's checkpoint of `step`: whole or not
/// at all. Files are linked where the file system can, else copied; they are the donor's to the
/// byte, checked against their checksums.
/// @throws IoError if that checkpoint is not there (any more), or not whole.
void copy_member(const std::filesystem::path& donor, int64_t step,
                 const std::filesystem::path& directory, const RunConfig& config);

/// Makes `directory` a new run if it is none.
void begin_member(const std::filesystem::path& directory, const RunConfig& config);

/// A lock on a member's directory, so that a worker that was given up for lost and its successor
/// never write there at once; released when the process ends, however it ends.
class MemberLock {
 public:
  /// Waits for it. @throws IoError after `seconds`.
  MemberLock(const std::filesystem::path& directory, double seconds);
  ~MemberLock();
  MemberLock(const MemberLock&) = delete;
  MemberLock& operator=(const MemberLock&) = delete;

 private:
  int descriptor_ = -1;
};

/// The members' checkpoints below a directory, for workers that do not see it.
class MemberStore final : public pbt::Store {
 public:
  /// @param config what members train with, vocabulary known.
  MemberStore(std::filesystem::path root, const RunConfig& config)
      : root_(std::move(root)), config_(config) {}

  std::vector<pbt::StoredFile> files(const std::string& directory, int64_t step,
                                     int64_t& found) override;
  std::string read(const std::string& directory, int64_t step, const std::string& file,
                   uint64_t offset, uint64_t bytes) override;
  void write(const std::string& directory, int64_t step, const std::string& file, uint64_t offset,
             const std::string& bytes) override;
  void publish(const std::string& directory, int64_t step,
               const std::vector<pbt::StoredFile>& files) override;
  void copy(const std::string& donor, int64_t step, const std::string& directory,
            const population::Settings& settings) override;

 private:
  std::filesystem::path checkpoints(const std::string& directory) const;

  std::filesystem::path root_;
  RunConfig config_;
};

/// Files of a checkpoint with sizes and checksums.
std::vector<pbt::StoredFile> stored_files(const std::filesystem::path& checkpoint);

}  // namespace hecate::launcher
