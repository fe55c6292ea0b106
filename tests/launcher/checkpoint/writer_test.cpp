#include "launcher/checkpoint/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "launcher/checkpoint/directory.h"
#include "runtime/io/file.h"
#include "tests/launcher/checkpoint/state.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::checkpoint {
namespace {

namespace fs = std::filesystem;
using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory))
    names.push_back(entry.path().filename().string());
  return names;
}

/// A writer whose background thread waits at its first step until told to go on.
struct HeldWriter {
  explicit HeldWriter(const fs::path& directory) : writer(options(directory)) {}
  ~HeldWriter() {
    if (!released) release();
  }
  WriterOptions options(const fs::path& directory) {
    WriterOptions result;
    result.directory = directory;
    result.gather = [go = gate.get_future().share()](const std::string& mine) {
      go.wait();
      return std::vector<std::string>{mine};
    };
    return result;
  }
  void release() {
    released = true;
    gate.set_value();
  }

  std::promise<void> gate;
  bool released = false;
  CheckpointWriter writer;
};

TEST(CheckpointWriter, TrainingMayOverwriteTheStateAsSoonAsSaveReturns) {
  const ScratchDirectory scratch;
  const auto tensors = testing::small_model();
  auto state = testing::whole_state(tensors, 1);
  HeldWriter held(scratch.path());
  held.writer.save(testing::snapshot_of(state, 1));
  for (auto& bytes : state.data) std::fill(bytes.begin(), bytes.end(), std::byte{0xee});
  EXPECT_TRUE(held.writer.busy());
  EXPECT_THAT(held.writer.poll(), IsEmpty());
  EXPECT_THAT(list_checkpoints(scratch.path()), IsEmpty());
  held.release();
  EXPECT_EQ(held.writer.wait().size(), 1u);
  EXPECT_FALSE(held.writer.busy());
  const Checkpoint checkpoint(scratch / "step-00000001");
  for (const auto& tensor : tensors)
    EXPECT_EQ(testing::load_whole(checkpoint, tensor), testing::content_of(tensor, 1));
}

TEST(CheckpointWriter, HandedOverStateIsNotCopiedAndIsReleasedAfterwards) {
  const ScratchDirectory scratch;
  const auto tensors = testing::small_model();
  auto state = std::make_shared<testing::OwnedSlices>(testing::whole_state(tensors, 1));
  const std::weak_ptr<testing::OwnedSlices> watch = state;
  HeldWriter held(scratch.path());
  const Snapshot snapshot = testing::snapshot_of(*state, 1);
  held.writer.save(snapshot, std::move(state));
  EXPECT_FALSE(watch.expired());
  held.release();
  held.writer.wait();
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(held.writer.staging_bytes(), 0u);
  const Checkpoint checkpoint(scratch / "step-00000001");
  EXPECT_EQ(testing::load_whole(checkpoint, tensors[0]), testing::content_of(tensors[0], 1));
}

TEST(CheckpointWriter, BoxesMayBeProducedWhileTheyAreWritten) {
  const ScratchDirectory scratch;
  const auto tensors = testing::small_model();
  const auto state = std::make_shared<testing::OwnedSlices>(testing::whole_state(tensors, 1));
  Snapshot snapshot = testing::snapshot_of(*state, 1);
  for (TensorSlice& slice : snapshot.slices) {
    const std::span<const std::byte> bytes(static_cast<const std::byte*>(slice.data),
                                           slice.bytes());
    slice.data = nullptr;
    slice.produce = [bytes](const auto& sink) {
      sink(bytes.first(bytes.size() / 3));
      sink(bytes.subspan(bytes.size() / 3));
    };
  }
  CheckpointWriter writer({.directory = scratch.path()});
  EXPECT_THROW(writer.save(snapshot), InvalidArgument);  // nothing to copy
  writer.save(snapshot, state);
  writer.wait();
  EXPECT_THAT(verify(scratch / "step-00000001"), IsEmpty());
  const Checkpoint checkpoint(scratch / "step-00000001");
  for (const auto& tensor : tensors)
    EXPECT_EQ(testing::load_whole(checkpoint, tensor), testing::content_of(tensor, 1));
}

TEST(CheckpointWriter, AProducerThatFailsLeavesNoCheckpoint) {
  const ScratchDirectory scratch;
  const auto state =
      std::make_shared<testing::OwnedSlices>(testing::whole_state(testing::small_model(), 1));
  Snapshot snapshot = testing::snapshot_of(*state, 1);
  snapshot.slices[1].produce = [](const auto&) { throw IoError("the source is gone"); };
  CheckpointWriter writer({.directory = scratch.path()});
  writer.save(snapshot, state);
  EXPECT_THAT(message_of<IoError>([&] { writer.wait(); }), HasSubstr("the source is gone"));
  EXPECT_THAT(names_in(scratch.path()), IsEmpty());
}

TEST(CheckpointWriter, TheCopysMemoryIsReused) {
  const ScratchDirectory scratch;
  CheckpointWriter writer({.directory = scratch.path()});
  writer.save(testing::snapshot_of(testing::whole_state(testing::small_model(), 1), 1));
  const size_t after_first = writer.staging_bytes();
  EXPECT_GE(after_first, 1344u);
  for (int64_t step = 2; step <= 4; ++step)
    writer.save(testing::snapshot_of(testing::whole_state(testing::small_model(), step), step));
  EXPECT_EQ(writer.staging_bytes(), after_first);
  const auto reports = writer.wait();
  ASSERT_EQ(reports.size(), 4u);
  EXPECT_EQ(reports[3].step, 4);
  EXPECT_EQ(reports[3].path, scratch / "step-00000004");
}

TEST(CheckpointWriter, KeepsTheNewest) {
  const ScratchDirectory scratch;
  for (int64_t step = 1; step <= 5; ++step)
    testing::save_now(scratch.path(), testing::small_model(), step, /*keep=*/2);
  EXPECT_THAT(names_in(scratch.path()), UnorderedElementsAre("step-00000004", "step-00000005"));
}

TEST(CheckpointWriter, NeverDeletesWhatItJustWroteForALaterStep) {
  const ScratchDirectory scratch;
  testing::save_now(scratch.path(), testing::small_model(), 900);
  testing::save_now(scratch.path(), testing::small_model(), 1000);
  io::write_file(scratch / "step-00001000/manifest.json", "{");  // no longer valid
  testing::save_now(scratch.path(), testing::small_model(), 950, /*keep=*/1);
  EXPECT_THAT(names_in(scratch.path()), UnorderedElementsAre("step-00000950", "step-00001000"));
  EXPECT_EQ(find_latest(scratch.path()).checkpoint.value().step, 950);
  remove_after(scratch.path(), 950);
  EXPECT_THAT(names_in(scratch.path()), ElementsAre("step-00000950"));
}

TEST(CheckpointWriter, AFailedSaveDeletesNothing) {
  const ScratchDirectory scratch;
  testing::save_now(scratch.path(), testing::small_model(), 1);
  WriterOptions options;
  options.directory = scratch.path();
  options.keep = 1;
  options.gather = [](const std::string&) -> std::vector<std::string> {
    throw CommError("peer lost");
  };
  CheckpointWriter writer(options);
  const auto state = testing::whole_state(testing::small_model(), 2);
  writer.save(testing::snapshot_of(state, 2));
  // The next call reports it, once; here the next save does, and starts nothing.
  EXPECT_THAT(message_of<CommError>([&] { writer.save(testing::snapshot_of(state, 3)); }),
              HasSubstr("peer lost"));
  EXPECT_FALSE(writer.busy());
  EXPECT_THAT(writer.wait(), IsEmpty());
  EXPECT_THAT(names_in(scratch.path()), ElementsAre("step-00000001"));
  EXPECT_THAT(verify(scratch / "step-00000001"), IsEmpty());
}

TEST(CheckpointWriter, ReplacesACheckpointOfTheSameStep) {
  const ScratchDirectory scratch;
  auto tensors = testing::small_model();
  testing::save_now(scratch.path(), tensors, 8);
  tensors.resize(2);
  testing::save_now(scratch.path(), tensors, 8);
  EXPECT_THAT(names_in(scratch.path()), ElementsAre("step-00000008"));
  EXPECT_EQ(Checkpoint(scratch / "step-00000008").tensors().size(), 2u);
}

TEST(CheckpointWriter, StartClearsWhatACrashLeft) {
  const ScratchDirectory scratch;
  for (const int64_t step : {1, 2, 3})
    testing::save_now(scratch.path(), testing::small_model(), step);
  fs::create_directories(scratch / ".tmp-step-00000004");
  io::write_file(scratch / ".tmp-step-00000004/rank-0000.safetensors", "half");
  fs::copy(scratch / "step-00000001", scratch / ".del-step-00000000");
  fs::copy(scratch / "step-00000002", scratch / ".old-step-00000002");
  // Killed between the two renames of a replacement: the replaced one still counts.
  fs::rename(scratch / "step-00000003", scratch / ".old-step-00000003");
  EXPECT_EQ(find_latest(scratch.path()).checkpoint.value().step, 3);
  io::write_file(scratch / "notes.txt", "mine");
  const CheckpointWriter writer({.directory = scratch.path()});
  EXPECT_THAT(names_in(scratch.path()),
              UnorderedElementsAre("step-00000001", "step-00000002", "step-00000003", "notes.txt"));
  EXPECT_EQ(find_latest(scratch.path()).checkpoint.value().step, 3);
}

TEST(CheckpointWriter, RefusesWhatCannotBeSaved) {
  const ScratchDirectory scratch;
  CheckpointWriter writer({.directory = scratch.path()});
  const auto state = testing::whole_state(testing::small_model(), 1);
  const auto refusal = [&](auto change) {
    Snapshot snapshot = testing::snapshot_of(state, 1);
    change(snapshot);
    return message_of<InvalidArgument>([&] { writer.save(snapshot); });
  };
  EXPECT_THAT(refusal([](Snapshot& s) { s.step = -1; }), HasSubstr("step -1"));
  EXPECT_THAT(refusal([](Snapshot& s) { s.extra = "[1]"; }), HasSubstr("JSON object"));
  EXPECT_THAT(refusal([](Snapshot& s) { s.extra = "{"; }), HasSubstr("JSON object"));
  EXPECT_THAT(refusal([](Snapshot& s) { s.slices[1].data = nullptr; }),
              HasSubstr("parameter 'layers.0.wq': no data"));
  EXPECT_THAT(refusal([](Snapshot& s) { s.slices[1].offset[0] = 1; }), HasSubstr("axis 0"));
  EXPECT_THAT(writer.wait(), IsEmpty());
  EXPECT_TRUE(fs::is_empty(scratch.path()));
}

TEST(CheckpointWriter, RefusesImpossibleOptions) {
  const ScratchDirectory scratch;
  const auto refusal = [&](auto change) {
    WriterOptions options;
    options.directory = scratch.path();
    change(options);
    return message_of<InvalidArgument>([&] { CheckpointWriter writer(options); });
  };
  EXPECT_THAT(refusal([](WriterOptions& o) { o.keep = 0; }), HasSubstr("keep: 0, at least 1"));
  EXPECT_THAT(refusal([](WriterOptions& o) { o.rank = 1; }), HasSubstr("rank 1 of 1"));
  EXPECT_THAT(refusal([](WriterOptions& o) { o.ranks = 2; }), HasSubstr("need a gather"));
  io::write_file(scratch / "file", "");
  EXPECT_THAT(
      message_of<IoError>([&] { CheckpointWriter writer({.directory = scratch / "file/below"}); }),
      HasSubstr("Not a directory"));
}

}  // namespace
}  // namespace hecate::checkpoint
