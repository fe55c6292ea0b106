#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/population/search_space.h"

namespace hecate::pbt {

/// A file of a checkpoint.
struct StoredFile {
  std::string name;
  uint64_t bytes = 0;
  uint32_t checksum = 0;  ///< CRC-32C
};

/// The checkpoints of all members, where the controller is: what workers that do not see its disk
/// read and write through their connection. `directory` is a member's incarnation, as
/// "members/03.1". Names come from the network: an implementation refuses any that leads out of its
/// place. Every method throws InvalidArgument for what cannot be, IoError for what failed.
class Store {
 public:
  virtual ~Store() = default;
  /// Files of the newest complete checkpoint with a step of at least `step`; the step found in
  /// `found`. Empty: there is none.
  virtual std::vector<StoredFile> files(const std::string& directory, int64_t step,
                                        int64_t& found) = 0;
  virtual std::string read(const std::string& directory, int64_t step, const std::string& file,
                           uint64_t offset, uint64_t bytes) = 0;
  /// Part of a checkpoint that is not there before publish().
  virtual void write(const std::string& directory, int64_t step, const std::string& file,
                     uint64_t offset, const std::string& bytes) = 0;
  /// Makes what was written a checkpoint, if sizes and checksums are those of `files`.
  virtual void publish(const std::string& directory, int64_t step,
                       const std::vector<StoredFile>& files) = 0;
  /// Makes `directory` anew from a checkpoint of `donor`.
  virtual void copy(const std::string& donor, int64_t step, const std::string& directory,
                    const population::Settings& settings) = 0;
};

}  // namespace hecate::pbt
