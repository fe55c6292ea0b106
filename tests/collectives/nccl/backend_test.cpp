// The backend's own code, on a stand-in for CUDA and NCCL: ranks are threads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <sstream>

#include "collectives/flight_comparison.h"
#include "collectives/nccl/device.h"
#include "collectives/nccl/nccl.h"
#include "collectives/nccl/types.h"
#include "runtime/base/error.h"
#include "tests/collectives/contract.h"
#include "tests/collectives/contract_values.h"
#include "tests/collectives/mismatch.h"
#include "tests/collectives/nccl/fake.h"
#include "tests/collectives/nccl/fake_cuda.h"
#include "tests/collectives/threads.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::collectives::nccl {
namespace {

using hecate::testing::ScratchDirectory;
using std::chrono::milliseconds;
using ::testing::HasSubstr;

struct World {
  CommunicatorOptions communicator;
  Options nccl;
};

World world_of(int ranks_per_node, bool ordered, bool checked) {
  World world;
  world.communicator.timeout = std::chrono::seconds(60);
  world.communicator.ranks_per_node = ranks_per_node;
  world.communicator.check_arguments = checked;
  world.nccl.ordered_sums = ordered;
  world.nccl.segment_bytes = 16 << 10;
  return world;
}

void run_on_devices(int ranks, const World& world,
                    const std::function<void(const Communicator&)>& body) {
  fake::control().violations = 0;
  run_ranks(ranks, world.communicator, [&](const Communicator& bootstrap) {
    Options mine = world.nccl;
    mine.device = bootstrap.rank();
    body(create(bootstrap, world.communicator, mine));
  });
}

using Parameter = std::tuple<const contract::Case*, int>;
class NcclContractTest : public ::testing::TestWithParam<Parameter> {};

TEST_P(NcclContractTest, HoldsWithTheLibrarysSums) {
  const auto& [test, ranks] = GetParam();
  EXPECT_NO_THROW(run_on_devices(ranks, world_of(0, false, false), test->run));
  EXPECT_EQ(fake::control().violations, 0);
}

TEST_P(NcclContractTest, HoldsWithOrderedSumsOnNodesOfTwo) {
  const auto& [test, ranks] = GetParam();
  // Checked calls block until all ranks have come, so that none can overtake another.
  const bool checked = std::string_view(test->name) != "OperationsCompleteOutOfOrder";
  EXPECT_NO_THROW(run_on_devices(ranks, world_of(2, true, checked), test->run));
  EXPECT_EQ(fake::control().violations, 0);
}

std::vector<Parameter> parameters() {
  std::vector<Parameter> all;
  for (const contract::Case& test : contract::cases())
    for (int ranks : {1, 2, 3, 5}) all.emplace_back(&test, ranks);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Contract, NcclContractTest, ::testing::ValuesIn(parameters()),
                         [](const auto& instance) {
                           return concat(std::get<0>(instance.param)->name, "On",
                                         std::get<1>(instance.param), "Ranks");
                         });

TEST(NcclBackend, AMissingRankIsATimeOutAndTheGroupIsAborted) {
  const ScratchDirectory scratch;
  World world = world_of(0, false, false);
  world.communicator.timeout = milliseconds(200);
  world.communicator.flight_directory = scratch.path();
  const int aborts = fake::control().aborts;
  run_on_devices(3, world, [&](const Communicator& group) {
    const Communicator other = group.on_lane(LaneKind::dispatch);
    other.barrier().wait();
    if (group.rank() == 2) return;
    std::vector<float> data(100);
    EXPECT_THAT(comm_error([&] {
                  group.all_reduce(data.data(), data.data(), 100, DType::f32, ReduceOp::sum).wait();
                }),
                HasSubstr(concat("all_reduce timed out on rank ", group.rank(), " after ")));
    EXPECT_EQ(group.flight_record().back().state, OperationState::failed);
    EXPECT_THAT(comm_error([&] { group.barrier().wait(); }), HasSubstr("failed in an earlier"));
    const std::string report =
        report_failure(world.communicator.flight_directory, group.rank(), milliseconds(300));
    if (group.rank() == 0) {
      EXPECT_THAT(report, HasSubstr("odd one out: rank 2"));
    }
  });
  EXPECT_EQ(fake::control().aborts - aborts, 2);
}

TEST(NcclBackend, PlannedCollectivesTimeOutToo) {
  World world = world_of(0, true, false);
  world.communicator.timeout = milliseconds(200);
  run_on_devices(3, world, [&](const Communicator& group) {
    if (group.rank() == 1) return;
    std::vector<float> data(1000);
    EXPECT_THAT(
        comm_error([&] {
          group.all_reduce(data.data(), data.data(), 1000, DType::f32, ReduceOp::sum).wait();
        }),
        HasSubstr("timed out"));
  });
}

TEST(NcclBackend, AnErrorOfTheLibraryEndsTheOperation) {
  World world = world_of(0, false, false);
  run_on_devices(2, world, [&](const Communicator& group) {
    group.barrier().wait();
    int32_t one = 1, sum = 0;
    // Rank 0 waits for rank 1, which never comes, until NCCL reports that it has lost it.
    if (group.rank() == 1) {
      std::this_thread::sleep_for(milliseconds(100));
      return;
    }
    const Work work = group.all_reduce(&one, &sum, 1, DType::i32, ReduceOp::sum);
    EXPECT_FALSE(work.done());
    fake::control().failing_rank = 0;
    EXPECT_THAT(comm_error([&] { work.wait(); }),
                HasSubstr("all_reduce: nccl: remote process exited (told by the fake)"));
    EXPECT_TRUE(work.done());
    fake::control().failing_rank = -1;
  });
}

TEST(NcclBackend, ARankThatNeverConnectsIsATimeOut) {
  World world = world_of(0, false, false);
  world.communicator.timeout = milliseconds(200);
  fake::control().failing_rank = -1;
  run_ranks(2, world.communicator, [&](const Communicator& bootstrap) {
    if (bootstrap.rank() == 1) return;
    EXPECT_NE(comm_error([&] { create(bootstrap, world.communicator, world.nccl); }),
              "no CommError");
  });
}

class NcclMismatchTest : public ::testing::TestWithParam<contract::Mismatch> {};

TEST_P(NcclMismatchTest, IsAnErrorAndNoDeadlock) {
  World world = world_of(0, false, true);
  world.communicator.timeout = milliseconds(500);
  run_on_devices(3, world, [](const Communicator& group) {
    EXPECT_EQ(contract::outcome_of(group, GetParam()), "") << "rank " << group.rank();
  });
}

std::vector<contract::Mismatch> checked_mismatches() {
  std::vector<contract::Mismatch> all;
  for (const contract::Mismatch& each : contract::mismatches())
    if (each.seen_by == 3) all.push_back(each);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Faults, NcclMismatchTest, ::testing::ValuesIn(checked_mismatches()),
                         [](const auto& instance) { return std::string(instance.param.name); });

TEST(NcclBackend, UnmatchedBlocksAreAnError) {
  World world = world_of(0, false, true);
  world.communicator.timeout = milliseconds(300);
  run_on_devices(3, world, [](const Communicator& group) {
    std::vector<float> in(30), out(30);
    std::vector<int64_t> sends(3, 4), receives(3, 4);
    if (group.rank() == 0) sends[1] = 5;  // rank 1 expects 4
    const auto call = [&] {
      group.all_to_all_v(in.data(), sends, out.data(), receives, DType::f32).wait();
    };
    if (group.rank() == 2) {
      EXPECT_THROW(call(), CommError);  // cannot see it
    } else {
      EXPECT_THROW(call(), InvalidArgument);
    }
  });
}

// Device memory that lives as long as its stream.
template <class T>
struct DeviceVector {
  DeviceVector(const std::vector<T>& values, cudaStream_t stream)
      : memory(static_cast<int64_t>(values.size() * sizeof(T)), stream), count(values.size()) {
    // The stand-in's device memory can be written, as no GPU's could.
    std::copy(values.begin(), values.end(), data());
  }
  T* data() { return reinterpret_cast<T*>(memory.data()); }
  std::vector<T> values() { return {data(), data() + count}; }
  StreamMemory memory;
  size_t count;
};

TEST(NcclBackend, DeviceMemoryIsUsedWhereItIs) {
  run_on_devices(3, world_of(0, false, false), [](const Communicator& group) {
    group.barrier().wait();
    const int64_t copies = fake::control().staged_copies;
    group.barrier().wait();
    const Stream stream(false);
    DeviceVector<bf16> in(contract::input_of<bf16>(group.rank(), 5000), stream.get());
    DeviceVector<bf16> out(std::vector<bf16>(5000), stream.get());
    group.all_reduce(in.data(), out.data(), 5000, DType::bf16, ReduceOp::sum).wait();
    const auto values = out.values();
    for (int64_t i = 0; i < 5000; ++i)
      contract::require_equal("all_reduce", values, i, contract::sum_at(3, i), 5000);
    group.barrier().wait();
    EXPECT_EQ(fake::control().staged_copies, copies);
  });
}

TEST(NcclBackend, OperationsFollowTheCallersStream) {
  run_on_devices(2, world_of(0, false, false), [](const Communicator& group) {
    const Stream stream(false);
    DeviceVector<float> data(std::vector<float>(10), stream.get());
    use_stream(group, stream.get());
    // The producer is slow; the collective must wait for it.
    fake::queue_of(stream.get()).add([&] {
      std::this_thread::sleep_for(milliseconds(50));
      std::fill(data.data(), data.data() + 10, 1.0f);
    });
    group.all_reduce(data.data(), data.data(), 10, DType::f32, ReduceOp::sum).wait();
    EXPECT_EQ(data.values(), std::vector<float>(10, 2.0f));
    use_stream(group, nullptr);
    group.barrier().wait();
  });
}

TEST(NcclBackend, RefusesWhatItCannotUse) {
  EXPECT_TRUE(available());
  EXPECT_THAT(version(), ::testing::StartsWith("2."));
  run_on_devices(1, world_of(0, false, false), [](const Communicator& group) {
    EXPECT_THROW(create(group, {}, {}), InvalidArgument);
    EXPECT_EQ(group.backend_name(), "nccl");
  });
  run_ranks(1, {}, [](const Communicator& bootstrap) {
    Options options;
    options.device = 64;
    EXPECT_THROW(create(bootstrap, {}, options), DeviceError);
    options.device = 0;
    options.segment_bytes = 1;
    EXPECT_THROW(create(bootstrap, {}, options), InvalidArgument);
    EXPECT_THROW(use_stream(bootstrap, nullptr), InvalidArgument);
  });
}

TEST(NcclTypes, NamesEveryType) {
  EXPECT_EQ(native_type(DType::bf16), ncclBfloat16);
  EXPECT_EQ(native_type(DType::f32), ncclFloat32);
  EXPECT_EQ(native_type(DType::f64), ncclFloat64);
  EXPECT_EQ(native_type(DType::i32), ncclInt32);
  EXPECT_EQ(native_type(DType::i64), ncclInt64);
  EXPECT_EQ(native_type(DType::u8), ncclUint8);
  EXPECT_THROW(native_type(DType::u16), InvalidArgument);
  EXPECT_EQ(native_op(ReduceOp::max), ncclMax);
  EXPECT_EQ(native_op(ReduceOp::min), ncclMin);
  EXPECT_EQ(native_op(ReduceOp::sum), ncclSum);
  EXPECT_FALSE(adds_exactly(DType::bf16, ReduceOp::sum));
  EXPECT_TRUE(adds_exactly(DType::bf16, ReduceOp::max));
}

}  // namespace
}  // namespace hecate::collectives::nccl
