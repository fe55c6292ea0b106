#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "launcher/checkpoint/directory.h"
#include "tests/launcher/checkpoint/state.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::checkpoint {
namespace {

using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using ::testing::AllOf;
using testing::Bytes;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::LogicalTensor;
using testing::OwnedSlices;

/// Saves each rank's slices from a thread of its own. @returns each rank's error, empty if none.
std::vector<std::string> save_from_ranks(const std::filesystem::path& directory,
                                         const std::vector<OwnedSlices>& ranks, int64_t step) {
  testing::ThreadGather gather(static_cast<int>(ranks.size()));
  std::vector<std::string> errors(ranks.size());
  std::vector<std::thread> threads;
  for (size_t rank = 0; rank < ranks.size(); ++rank)
    threads.emplace_back([&, rank] {
      try {
        WriterOptions options;
        options.directory = directory;
        options.rank = static_cast<int>(rank);
        options.ranks = static_cast<int>(ranks.size());
        options.gather = gather.of(options.rank);
        options.max_file_bytes = 300;
        CheckpointWriter writer(options);
        writer.save(testing::snapshot_of(ranks[rank], step));
        writer.wait();
      } catch (const Error& error) {
        errors[rank] = error.what();
      }
    });
  for (std::thread& thread : threads) thread.join();
  return errors;
}

std::vector<LogicalTensor> random_model(const CounterRng& rng, uint64_t& draw) {
  const DType dtypes[] = {DType::f32, DType::bf16, DType::f64, DType::u8};
  std::vector<LogicalTensor> tensors;
  const uint64_t count = 1 + rng.below(draw++, 6);
  for (uint64_t i = 0; i < count; ++i) {
    std::vector<int64_t> dims(rng.below(draw++, 5));
    for (int64_t& dim : dims) dim = static_cast<int64_t>(1 + rng.below(draw++, 6));
    tensors.push_back({concat("t", i), static_cast<Kind>(rng.below(draw++, 4)),
                       dtypes[rng.below(draw++, 4)], io::make_shape(dims)});
  }
  return tensors;
}

TEST(MultiRank, AnySlicingLoadsIntoAnyOther) {
  const CounterRng rng(17, 0);
  uint64_t draw = 0;
  for (int round = 0; round < 25; ++round) {
    const ScratchDirectory scratch;
    const auto tensors = random_model(rng, draw);
    std::vector<OwnedSlices> ranks(1 + rng.below(draw++, 5));
    for (const LogicalTensor& tensor : tensors)
      for (const Slice& slice : testing::random_tiling(tensor, rng, draw))
        ranks[rng.below(draw++, ranks.size())].add(
            slice, testing::cut(testing::content_of(tensor, round), slice));
    for (const std::string& error : save_from_ranks(scratch.path(), ranks, round))
      ASSERT_EQ(error, "");
    const auto path = scratch.path() / step_name(round);
    ASSERT_THAT(verify(path), IsEmpty());

    const Checkpoint checkpoint(path);
    std::vector<TargetSlice> targets;
    std::vector<Bytes> loaded, expected;
    for (const LogicalTensor& tensor : tensors)
      for (const Slice& slice : testing::random_tiling(tensor, rng, draw)) {
        expected.push_back(testing::cut(testing::content_of(tensor, round), slice));
        loaded.emplace_back(slice.bytes());
        targets.push_back({slice, loaded.back().data()});
      }
    checkpoint.load(targets);
    for (size_t i = 0; i < targets.size(); ++i)
      ASSERT_EQ(loaded[i], expected[i]) << round << " " << targets[i].name;
  }
}

TEST(MultiRank, RanksWithNothingToSaveTakePart) {
  const ScratchDirectory scratch;
  std::vector<OwnedSlices> ranks(3);
  ranks[1] = testing::whole_state(testing::small_model(), 4);
  for (const std::string& error : save_from_ranks(scratch.path(), ranks, 4)) EXPECT_EQ(error, "");
  EXPECT_THAT(verify(scratch / "step-00000004"), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(scratch / "step-00000004/rank-0000.safetensors"));
}

TEST(MultiRank, HolesAndDoublesAreRefusedOnEveryRank) {
  const ScratchDirectory scratch;
  const LogicalTensor tensor{"w", Kind::parameter, DType::f32, {4, 2}};
  const Bytes whole = testing::content_of(tensor, 1);
  const auto rows = [&](int64_t begin, int64_t count) {
    OwnedSlices state;
    Slice slice{"w", Kind::parameter, DType::f32, {4, 2}, {begin, 0}, {count, 2}};
    state.add(slice, testing::cut(whole, slice));
    return state;
  };
  std::vector<OwnedSlices> hole(2), doubled(2), other(2);
  hole[0] = rows(0, 2);
  hole[1] = rows(2, 1);
  doubled[0] = rows(0, 2);
  doubled[1] = rows(1, 3);
  other[0] = rows(0, 4);
  other[1] = testing::whole_state({{"w", Kind::parameter, DType::f64, {4, 2}}}, 1);
  for (const auto& error : save_from_ranks(scratch.path(), hole, 1))
    EXPECT_THAT(error, AllOf(HasSubstr("parameter 'w': 6 of 8 elements")));
  for (const auto& error : save_from_ranks(scratch.path(), doubled, 1))
    EXPECT_THAT(error, AllOf(HasSubstr("written twice"), HasSubstr("rank-0000.safetensors"),
                             HasSubstr("rank-0001.safetensors")));
  for (const auto& error : save_from_ranks(scratch.path(), other, 1))
    EXPECT_THAT(error, HasSubstr("is F32[4,2] on one rank, F64[4,2] on another"));
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

TEST(MultiRank, AFailureOnOneRankIsToldOnAllAndTheOldCheckpointStays) {
  const ScratchDirectory scratch;
  testing::save_now(scratch.path(), testing::small_model(), 1);
  testing::ThreadGather gather(3);
  std::vector<std::string> errors(3);
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 3; ++rank)
    threads.emplace_back([&, rank] {
      WriterOptions options;
      options.directory = scratch.path();
      // Rank 2 sees no such directory: a file system that is not shared, for instance.
      if (rank == 2) options.directory = scratch / "elsewhere";
      options.rank = rank;
      options.ranks = 3;
      options.gather = gather.of(rank);
      CheckpointWriter writer(options);
      const auto state =
          testing::whole_state({{concat("t", rank), Kind::parameter, DType::f32, {4}}}, 2);
      writer.save(testing::snapshot_of(state, 2));
      errors[static_cast<size_t>(rank)] = message_of<IoError>([&] { writer.wait(); });
    });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& error : errors)
    EXPECT_THAT(error, AllOf(HasSubstr("step 2 not written: rank 2"), HasSubstr("elsewhere"),
                             HasSubstr("No such file")));
  const Latest latest = find_latest(scratch.path());
  EXPECT_EQ(latest.checkpoint.value().step, 1);
  EXPECT_THAT(latest.warnings, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(scratch / ".tmp-step-00000002"));
}

TEST(MultiRank, ALostPeerFailsTheSave) {
  const ScratchDirectory scratch;
  WriterOptions options;
  options.directory = scratch.path();
  options.ranks = 2;
  options.gather = [](const std::string&) -> std::vector<std::string> {
    throw CommError("gather: rank 1 is late");
  };
  CheckpointWriter writer(options);
  writer.save(testing::snapshot_of(testing::whole_state(testing::small_model(), 1), 1));
  EXPECT_THAT(message_of<CommError>([&] { writer.wait(); }), HasSubstr("rank 1 is late"));
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

}  // namespace
}  // namespace hecate::checkpoint
