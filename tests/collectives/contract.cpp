#include "tests/collectives/contract.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "collectives/measure.h"
#include "tests/collectives/contract_dense.h"
#include "tests/collectives/contract_sparse.h"
#include "tests/collectives/contract_tokens.h"
#include "tests/collectives/contract_traffic.h"
#include "tests/collectives/contract_values.h"
#include "tests/collectives/contract_world.h"

namespace hecate::collectives::contract {
namespace {

using std::chrono::milliseconds;

void barrier_waits_for_the_last(const Communicator& world) {
  // The ranks share a machine and so its clock.
  const auto now_ns = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
  if (world.rank() == world.size() - 1) std::this_thread::sleep_for(milliseconds(30));
  const int64_t entered = now_ns();
  world.barrier().wait();
  const int64_t left = now_ns();
  int64_t last_entered = 0;
  world.all_reduce(&entered, &last_entered, 1, DType::i64, ReduceOp::max).wait();
  require(left >= last_entered, "a barrier let a rank pass ", last_entered - left,
          " ns before the last one entered");
}

void exchange_matches_messages_in_order(const Communicator& world) {
  const int n = world.size(), me = world.rank();
  if (n == 1) return;
  const int next = (me + 1) % n, previous = (me + n - 1) % n;
  // Two messages of one pair in one call, a long one (several segments), then a second call.
  const auto a = input_of<int32_t>(me, 10), b = input_of<int32_t>(me, 200001, 50);
  std::vector<int32_t> x(10), y(200001), z(10);
  const Send sends[] = {{next, a.data(), 40}, {next, b.data(), 800004}};
  const Receive receives[] = {{previous, x.data(), 40}, {previous, y.data(), 800004}};
  const Work first = world.exchange(sends, receives);
  const Send again[] = {{next, a.data(), 40}};
  const Receive again_here[] = {{previous, z.data(), 40}};
  const Work second = world.exchange(again, again_here);
  second.wait();
  first.wait();
  require(x == input_of<int32_t>(previous, 10), "exchange: first message");
  require(y == input_of<int32_t>(previous, 200001, 50), "exchange: second message");
  require(z == x, "exchange: second call");
}

// Many operations at once, waited for in reverse.
void operations_overlap(const Communicator& world) {
  constexpr int kOperations = 150;
  std::vector<std::vector<int64_t>> in, out;
  std::vector<Work> works;
  for (int i = 0; i < kOperations; ++i) {
    const int64_t count = (i * 37) % 500;
    in.push_back(input_of<int64_t>(world.rank(), count, i));
    out.emplace_back(in.back().size());
  }
  for (size_t i = 0; i < in.size(); ++i)
    works.push_back(world.all_reduce(in[i].data(), out[i].data(), std::ssize(in[i]), DType::i64,
                                     ReduceOp::sum));
  for (size_t i = in.size(); i-- > 0;) {
    works[i].wait();
    require(works[i].done(), "a waited-for operation is not done");
    for (size_t k = 0; k < out[i].size(); ++k)
      require_equal("overlapping all_reduce", out[i], static_cast<int64_t>(k),
                    sum_at(world.size(), static_cast<int64_t>(k + i)), std::ssize(out[i]));
  }
}

// A later small operation may end while an earlier one cannot.
void operations_complete_out_of_order(const Communicator& world) {
  if (world.size() == 1) return;
  const Communicator urgent = world.on_lane(LaneKind::dispatch);
  const Communicator bulk = world.on_lane(LaneKind::sparse);
  const int64_t count = 1 << 20;
  std::vector<float> data(static_cast<size_t>(count), static_cast<float>(bulk.rank()));
  std::vector<float> sum(data.size());
  Work slow;
  // The last rank joins the bulk operation only after the small one is over everywhere.
  const bool last = world.rank() == world.size() - 1;
  if (!last) slow = bulk.all_reduce(data.data(), sum.data(), count, DType::f32, ReduceOp::sum);
  int32_t one = 1, all = 0;
  urgent.all_reduce(&one, &all, 1, DType::i32, ReduceOp::sum).wait();
  require(all == world.size(), "urgent all_reduce: ", all);
  require(last || !slow.done(), "an operation ended without one of its ranks");
  urgent.barrier().wait();
  if (last) slow = bulk.all_reduce(data.data(), sum.data(), count, DType::f32, ReduceOp::sum);
  slow.wait();
  const int n = world.size();
  const int sum_of_ranks = n * (n - 1) / 2;
  require(sum[12345] == static_cast<float>(sum_of_ranks), "bulk all_reduce: ", sum[12345]);
}

void split_groups_work_side_by_side(const Communicator& world) {
  const int n = world.size(), me = world.rank();
  // Even and odd ranks, the odd ones in reverse order.
  const Communicator half = world.split(me % 2, me % 2 == 0 ? me : -me, LaneKind::dense);
  require(half.size() == (n + 1 - me % 2) / 2, "split: ", half.size(), " of ", n, " ranks");
  const int expected = me % 2 == 0 ? me / 2 : half.size() - 1 - me / 2;
  require(half.rank() == expected, "split: rank ", half.rank(), ", expected ", expected);
  const int64_t count = 100003;
  const auto in = input_of<float>(me, count);
  std::vector<float> here(in.size()), everywhere(in.size());
  const Work a = half.all_reduce(in.data(), here.data(), count, DType::f32, ReduceOp::sum);
  const Work b = world.all_reduce(in.data(), everywhere.data(), count, DType::f32, ReduceOp::sum);
  b.wait();
  a.wait();
  for (int64_t i = 0; i < count; ++i) {
    int sum = 0;
    for (int r = me % 2; r < n; r += 2) sum += value_of(r, i);
    require_equal("all_reduce of a half", here, i, sum, count);
    require_equal("all_reduce of all", everywhere, i, sum_at(n, i), count);
  }
  const Communicator some = world.split(me == 0 ? -1 : 7, me, LaneKind::host);
  require(static_cast<bool>(some) == (me != 0), "a negative color must give no communicator");
  if (some) some.barrier().wait();
}

void handles_can_be_made_and_dropped_for_ever(const Communicator& world) {
  for (int i = 0; i < 40; ++i) {
    const Communicator part = world.split(world.rank() / 2, 0, LaneKind::dense);
    part.barrier().wait();
  }
}

void sums_do_not_depend_on_arrival(const Communicator& world) {
  const int64_t count = 50000;
  std::vector<float> in(static_cast<size_t>(count));
  for (size_t i = 0; i < in.size(); ++i)
    in[i] = 1.0f / static_cast<float>(1 + (i * 31 + static_cast<size_t>(world.rank()) * 17) % 1000);
  std::vector<float> first(in.size()), again(in.size());
  for (int round = 0; round < 3; ++round) {
    world.barrier().wait();
    std::this_thread::sleep_for(milliseconds((world.rank() * (round + 1)) % 3));
    auto& out = round == 0 ? first : again;
    world.all_reduce(in.data(), out.data(), count, DType::f32, ReduceOp::sum).wait();
    require(round == 0 || std::memcmp(first.data(), again.data(), sizeof(float) * in.size()) == 0,
            "all_reduce gave other bits in round ", round);
  }
  world.broadcast(first.data(), count, DType::f32, 0).wait();
  require(
      std::memcmp(first.data(), again.data(), sizeof(float) * in.size()) == 0 || world.size() == 1,
      "all_reduce differs between ranks");
}

void bad_arguments_are_refused(const Communicator& world) {
  auto refused = [](const auto& call) {
    try {
      call();
    } catch (const InvalidArgument&) {
      return true;
    }
    return false;
  };
  float x = 0;
  const auto n = world.size();
  require(refused([&] { world.broadcast(&x, 1, DType::f32, n); }), "broadcast from beyond");
  require(refused([&] { world.broadcast(nullptr, 1, DType::f32, 0); }), "broadcast of null");
  require(refused([&] { world.all_reduce(&x, &x, -1, DType::f32, ReduceOp::sum); }), "negative");
  require(refused([&] { world.all_reduce(&x, &x, 1, DType::u8, ReduceOp::sum); }), "sum of bytes");
  const std::vector<int64_t> counts(static_cast<size_t>(n) + 1, 1);
  require(refused([&] { world.all_gather_v(&x, &x, counts, DType::f32); }), "too many counts");
  const Send to_self[] = {{world.rank(), &x, 4}};
  require(refused([&] { world.exchange(to_self, {}); }), "a message to itself");
}

void topology_is_measured_fast(const Communicator& world) {
  Topology topology;
  // Under a second on a quiet machine; tests share theirs, so the best of some attempts counts.
  double best = 1e9;
  for (int attempt = 0; attempt < 5 && best >= 3; ++attempt) {
    world.barrier().wait();
    const auto begin = std::chrono::steady_clock::now();
    topology = measure_topology(world);
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    const double mine = elapsed.count();
    double slowest = 0;
    world.all_reduce(&mine, &slowest, 1, DType::f64, ReduceOp::max).wait();
    best = std::min(best, slowest);
  }
  require(best < 3, "measuring the topology took ", best, " s");
  check(topology);
  const auto nodes = world.nodes();
  require(std::equal(nodes.begin(), nodes.end(), topology.node_of.begin(), topology.node_of.end()),
          "measured topology has other nodes");
  double here = topology.between.bytes_per_s, largest = 0;
  world.all_reduce(&here, &largest, 1, DType::f64, ReduceOp::max).wait();
  require(here == largest, "ranks measured different topologies");
}

void flight_record_keeps_the_last_operations(const Communicator& world) {
  for (int i = 0; i < 70; ++i) world.barrier().wait();
  const auto record = world.flight_record();
  require(record.size() == FlightRecord::kEntries, "flight record: ", record.size(), " entries");
  require(record.back().operation == "barrier" && record.back().state == OperationState::done,
          "flight record: last is ", record.back().operation);
}

constexpr Case kCases[] = {
    {"BarrierWaitsForTheLast", barrier_waits_for_the_last},
    {"AllReduceAddsEveryTypeAndSize", all_reduce_adds_every_type_and_size},
    {"AllReduceFindsExtremes", all_reduce_finds_extremes},
    {"ReduceReachesAnyRoot", reduce_reaches_any_root},
    {"BroadcastReachesEverybody", broadcast_reaches_everybody},
    {"AllGatherPacksByRank", all_gather_packs_by_rank},
    {"ReduceScatterAddsBlocks", reduce_scatter_adds_blocks},
    {"AllToAllSwapsBlocks", all_to_all_swaps_blocks},
    {"ExchangeMatchesMessagesInOrder", exchange_matches_messages_in_order},
    {"OperationsOverlap", operations_overlap},
    {"OperationsCompleteOutOfOrder", operations_complete_out_of_order},
    {"SplitGroupsWorkSideBySide", split_groups_work_side_by_side},
    {"HandlesCanBeMadeAndDroppedForEver", handles_can_be_made_and_dropped_for_ever},
    {"SumsDoNotDependOnArrival", sums_do_not_depend_on_arrival},
    {"BadArgumentsAreRefused", bad_arguments_are_refused},
    {"FlightRecordKeepsTheLastOperations", flight_record_keeps_the_last_operations},
    {"SparsePairMatchesADirectComputation", sparse_pair_matches_a_direct_computation},
    {"SparseSumsHaveTheSameBits", sparse_sums_have_the_same_bits},
    {"TokenRowsGoAndComeBack", token_rows_go_and_come_back},
    {"SparseBytesAreThoseOfTheSchedule", sparse_bytes_are_those_of_the_schedule},
    {"TokenBytesAreThoseOfTheRows", token_bytes_are_those_of_the_rows},
    {"EveryByteSentIsReceived", every_byte_sent_is_received},
    {"WorldGroupsAddUp", world_groups_add_up},
    {"TopologyIsMeasuredFast", topology_is_measured_fast},
};

}  // namespace

std::span<const Case> cases() {
  return kCases;
}

}  // namespace hecate::collectives::contract
