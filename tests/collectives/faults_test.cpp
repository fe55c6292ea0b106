#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>

#include "collectives/token_exchange.h"
#include "runtime/base/error.h"
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

template <class Call>
std::string comm_error(const Call& call) {
  try {
    call();
  } catch (const CommError& error) {
    return error.what();
  }
  return "no CommError";
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

TEST(Faults, EveryOperationTimesOut) {
  using Call = Work (*)(const Communicator&, std::vector<float>&, std::vector<float>&);
  constexpr DType kType = DType::f32;
  const Call calls[] = {
      [](const Communicator& c, auto&, auto&) { return c.barrier(); },
      [](const Communicator& c, auto& in, auto&) { return c.broadcast(in.data(), 9, kType, 2); },
      [](const Communicator& c, auto& in, auto& out) {
        return c.all_gather(in.data(), out.data(), 9, kType);
      },
      [](const Communicator& c, auto& in, auto& out) {
        return c.reduce_scatter(in.data(), out.data(), 9, kType, ReduceOp::sum);
      },
      [](const Communicator& c, auto& in, auto& out) {
        return c.all_to_all(in.data(), out.data(), 9, kType);
      },
  };
  for (const Call& call : calls) {
    std::atomic<int> failures{0};
    run_ranks(3, short_options(false), [&](const Communicator& world) {
      if (world.rank() == 2) return;
      std::vector<float> in(27), out(27);
      if (comm_error([&] { call(world, in, out).wait(); }) != "no CommError") ++failures;
    });
    EXPECT_EQ(failures, 2);
  }
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

TEST(Faults, DifferentSizesAreAnErrorOnEveryRank) {
  run_ranks(4, short_options(true), [](const Communicator& world) {
    std::vector<float> in(100), out(400);
    const int64_t count = world.rank() == 1 ? 99 : 100;
    EXPECT_THROW(world.all_reduce(in.data(), out.data(), count, DType::f32, ReduceOp::sum).wait(),
                 Error);
  });
}

TEST(Faults, DifferentOperationsAreAnError) {
  run_ranks(2, short_options(true), [](const Communicator& world) {
    std::vector<float> in(100), out(200);
    const Work work = world.rank() == 0 ? world.all_gather(in.data(), out.data(), 100, DType::f32)
                                        : world.all_to_all(in.data(), out.data(), 50, DType::f32);
    EXPECT_THROW(work.wait(), InvalidArgument);
  });
}

TEST(Faults, UnmatchedBlocksAreAnError) {
  run_ranks(3, short_options(true), [](const Communicator& world) {
    std::vector<float> in(30), out(30);
    std::vector<int64_t> sends(3, 4), receives(3, 4);
    if (world.rank() == 0) sends[1] = 5;  // rank 1 expects 4
    const Work work = world.all_to_all_v(in.data(), sends, out.data(), receives, DType::f32);
    if (world.rank() == 2) {
      EXPECT_THROW(work.wait(), CommError);  // cannot see it; learns it from the silence
    } else {
      EXPECT_THROW(work.wait(), InvalidArgument);
    }
  });
}

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
