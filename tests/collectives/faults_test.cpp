#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <tuple>

#include "runtime/base/error.h"
#include "tests/collectives/mismatch.h"
#include "tests/collectives/threads.h"

namespace hecate::collectives {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

CommunicatorOptions short_options(bool checked) {
  CommunicatorOptions options;
  options.timeout = milliseconds(300);
  options.check_arguments = checked;
  options.flight_directory = testing::TempDir();
  return options;
}

TEST(Faults, AMissingRankIsNamedWithinTheTimeout) {
  run_ranks(4, short_options(false), [](const Communicator& world) {
    if (world.rank() == 2) return;
    std::vector<float> data(1000), out(1000);
    const auto begin = std::chrono::steady_clock::now();
    const std::string message = comm_error(
        [&] { world.all_reduce(data.data(), out.data(), 1000, DType::f32, ReduceOp::sum).wait(); });
    const auto elapsed = std::chrono::steady_clock::now() - begin;
    EXPECT_THAT(message, HasSubstr("all_reduce timed out on rank " + std::to_string(world.rank())));
    EXPECT_THAT(message, HasSubstr("waiting for rank 2 "));
    EXPECT_LT(elapsed, milliseconds(2000));
    EXPECT_EQ(world.flight_record().back().state, OperationState::failed);
    // The group is unusable and says so at once.
    EXPECT_THAT(comm_error([&] { world.barrier().wait(); }), HasSubstr("failed in an earlier"));
  });
}

// The last rank's thread ends, or sleeps past the time-out, around an operation: the job ends with
// an error in which every survivor names it.
using Fault = std::tuple<const char*, const char*>;
class RankFaultTest : public testing::TestWithParam<Fault> {};

TEST_P(RankFaultTest, EndsTheJobAndNamesTheRank) {
  const auto [how, when] = GetParam();
  const bool stalls = how == std::string("stalls");
  constexpr int64_t kCount = 1 << 20;
  // A dead rank's buffers outlive it here: its operations are still under way.
  std::vector<std::vector<float>> in(3, std::vector<float>(kCount, 1)), out = in;
  std::atomic<int> named{0};
  const auto body = [&, when = std::string(when)](const Communicator& world) {
    const auto fails = [&](const char* here) { return world.rank() == 2 && when == here; };
    const auto fault = [&] {
      if (stalls) std::this_thread::sleep_for(milliseconds(1000));
    };
    const auto r = static_cast<size_t>(world.rank());
    world.barrier().wait();
    if (fails("before")) return fault();
    const Work work =
        world.all_reduce(in[r].data(), out[r].data(), kCount, DType::f32, ReduceOp::sum);
    if (fails("inside")) return fault();
    try {
      work.wait();
      if (fails("after")) return fault();
      world.barrier().wait();
    } catch (const CommError& error) {
      const std::string message = error.what();
      if (message.find("waiting for rank 2 ") != std::string::npos ||
          message.find("waiting for rank 2,") != std::string::npos ||
          message.find(", 2 ") != std::string::npos)
        ++named;
      throw;
    }
  };
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THROW(run_ranks(3, short_options(false), body), CommError);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(5000));
  EXPECT_EQ(named, 2);
}

INSTANTIATE_TEST_SUITE_P(Faults, RankFaultTest,
                         testing::Combine(testing::Values("dies", "stalls"),
                                          testing::Values("before", "inside", "after")),
                         [](const auto& instance) {
                           return concat(std::get<0>(instance.param), "_",
                                         std::get<1>(instance.param));
                         });

TEST(Faults, EveryOperationTimesOut) {
  for (const contract::Mismatch& mismatch : contract::mismatches()) {
    // Rank 2 misses nobody in an exchange of ranks 0 and 1, and of a broadcast only the sender
    // knows that it has not arrived.
    const bool pair = mismatch.seen_by == 1;
    const bool one_waits = pair || std::string_view(mismatch.name).starts_with("Broadcast");
    std::atomic<int> failures{0};
    run_ranks(3, short_options(false), [&](const Communicator& world) {
      if (world.rank() == (pair ? 1 : 2)) return;
      if (comm_error([&] { mismatch.call(world, /*odd=*/false); }) != "no CommError") ++failures;
    });
    EXPECT_EQ(failures, one_waits ? 1 : 2) << mismatch.name;
  }
}

TEST(Faults, ASplitTimesOut) {
  run_ranks(3, short_options(false), [](const Communicator& world) {
    if (world.rank() == 2) return;
    EXPECT_THAT(comm_error([&] { world.on_lane(LaneKind::sparse); }), HasSubstr("rank 2 "));
  });
}

TEST(Faults, AnotherCommunicatorSurvives) {
  run_ranks(3, short_options(false), [](const Communicator& world) {
    const Communicator other = world.on_lane(LaneKind::dispatch);
    if (world.rank() != 0) {
      EXPECT_NE(comm_error([&] { world.barrier().wait(); }), "no CommError");
    }
    int32_t one = 1, sum = 0;
    other.all_reduce(&one, &sum, 1, DType::i32, ReduceOp::sum).wait_for(std::chrono::seconds(5));
    EXPECT_EQ(sum, 3);
  });
}

class MismatchTest : public testing::TestWithParam<contract::Mismatch> {};

TEST_P(MismatchTest, IsAnErrorAndNoDeadlock) {
  CommunicatorOptions options = short_options(true);
  options.segment_bytes = 16 << 10;
  run_ranks(3, options, [](const Communicator& world) {
    EXPECT_EQ(contract::outcome_of(world, GetParam()), "") << "rank " << world.rank();
  });
}

INSTANTIATE_TEST_SUITE_P(Faults, MismatchTest,
                         testing::ValuesIn(contract::mismatches().begin(),
                                           contract::mismatches().end()),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(Faults, UncheckedSizesAreAnErrorToo) {
  run_ranks(2, short_options(false), [](const Communicator& world) {
    std::vector<float> in(1000), out(1000);
    const int64_t count = world.rank() == 0 ? 10 : 1000;
    EXPECT_THROW(world.all_reduce(in.data(), out.data(), count, DType::f32, ReduceOp::sum).wait(),
                 CommError);
  });
}

}  // namespace
}  // namespace hecate::collectives
