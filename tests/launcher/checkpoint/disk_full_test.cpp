#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>

#include <cstring>

#include "launcher/checkpoint/directory.h"
#include "tests/launcher/checkpoint/state.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::checkpoint {
namespace {

using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::LogicalTensor;

/// A file system of 1 MiB, seen by this process alone.
class SmallDisk {
 public:
  SmallDisk() {
    mounted_ = ::unshare(CLONE_NEWNS) == 0 &&
               ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
               ::mount("tmpfs", mount_point_.path().c_str(), "tmpfs", 0, "size=1m") == 0;
    if (!mounted_) reason_ = std::strerror(errno);
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(mount_point_.path().c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  bool mounted() const { return mounted_; }
  const std::string& reason() const { return reason_; }
  const std::filesystem::path& path() const { return mount_point_.path(); }

 private:
  ScratchDirectory mount_point_;
  bool mounted_ = false;
  std::string reason_;
};

TEST(DiskFull, TheErrorSaysSoAndTheOldCheckpointStaysWhole) {
  const SmallDisk disk;
  if (!disk.mounted()) GTEST_SKIP() << "cannot mount a small disk here: " << disk.reason();
  const std::vector<LogicalTensor> small{{"w", Kind::parameter, DType::f32, {100, 1000}}};
  const std::vector<LogicalTensor> large{{"w", Kind::parameter, DType::f32, {300, 1000}}};
  const auto old = testing::save_now(disk.path(), small, 1);

  WriterOptions options;
  options.directory = disk.path();
  options.keep = 1;
  CheckpointWriter writer(options);
  const auto state = testing::whole_state(large, 2);
  writer.save(testing::snapshot_of(state, 2));
  const std::string message = message_of<IoError>([&] { writer.wait(); });
  EXPECT_THAT(message, AllOf(HasSubstr("step 2 not written"), HasSubstr("disk full"),
                             HasSubstr("No space left"), HasSubstr("rank-0000.safetensors"),
                             HasSubstr("bytes did not fit")));
  EXPECT_THAT(verify(old), IsEmpty());
  EXPECT_EQ(testing::load_whole(Checkpoint(old), small[0]), testing::content_of(small[0], 1));
  EXPECT_EQ(find_latest(disk.path()).checkpoint.value().step, 1);

  // The failed attempt gave its room back: what fits is saved again.
  const auto again = testing::whole_state(small, 3);
  writer.save(testing::snapshot_of(again, 3));
  EXPECT_EQ(writer.wait().size(), 1u);
  EXPECT_EQ(find_latest(disk.path()).checkpoint.value().step, 3);
}

}  // namespace
}  // namespace hecate::checkpoint
