#include "collectives/nccl/sequence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <numeric>
#include <set>

#include "collectives/dense/algorithms.h"
#include "collectives/engine/reduce.h"
#include "collectives/sparse_program.h"
#include "collectives/token_program.h"
#include "runtime/base/error.h"
#include "tests/collectives/contract_values.h"
#include "tests/collectives/random_placement.h"

namespace hecate::collectives::nccl {
namespace {

using contract::input_of;
using contract::sum_at;
using contract::value_of;

constexpr int kMost = 8;

// All ranks of a collective, carried out in lockstep on one thread: a round's transfers read what
// was there before the round.
class Lockstep {
 public:
  explicit Lockstep(std::vector<Program> programs, int most = kMost)
      : programs_(std::move(programs)) {
    for (int rank = 0; rank < ranks(); ++rank) {
      sequences_.push_back(plan_sequence(programs_, rank, most));
      scratch_.emplace_back(static_cast<size_t>(sequences_.back().scratch_bytes), std::byte{0x5a});
    }
    check(most);
  }

  size_t rounds() const {
    size_t most = 0;
    for (const Sequence& sequence : sequences_) most = std::max(most, sequence.rounds.size());
    return most;
  }
  int64_t scratch_bytes(int rank) const { return sequences_[at(rank)].scratch_bytes; }

  void run() {
    for (size_t round = 0; round < rounds(); ++round) {
      for (int rank = 0; rank < ranks(); ++rank)
        if (const auto* mine = round_of(rank, round))
          for (int32_t step : mine->locals) reduce(rank, step);
      move(round);
    }
  }

 private:
  static size_t at(int i) { return static_cast<size_t>(i); }
  int ranks() const { return static_cast<int>(programs_.size()); }
  const Step& step(int rank, int32_t number) const { return programs_[at(rank)].steps[at(number)]; }
  const Sequence::Round* round_of(int rank, size_t round) const {
    const auto& rounds = sequences_[at(rank)].rounds;
    return round < rounds.size() ? &rounds[round] : nullptr;
  }

  // What plan_sequence promises.
  void check(int most) const {
    for (size_t round = 0; round < rounds(); ++round) {
      std::map<std::pair<int, int>, int> sent, received;
      for (int rank = 0; rank < ranks(); ++rank) {
        const auto* mine = round_of(rank, round);
        if (mine == nullptr) continue;
        ASSERT_LE(std::ssize(mine->transfers), most);
        for (int32_t number : mine->transfers) {
          const Step& transfer = step(rank, number);
          const bool sends = transfer.kind == StepKind::send;
          ++(sends ? sent[{rank, transfer.peer}] : received[{transfer.peer, rank}]);
        }
      }
      ASSERT_EQ(sent, received) << "round " << round;
      for (const auto& [pair, count] : sent) ASSERT_EQ(count, 1);
    }
    for (int rank = 0; rank < ranks(); ++rank) check_order(rank);
  }

  void check_order(int rank) const {
    const Program& program = programs_[at(rank)];
    std::vector<int> position(program.steps.size(), -1);
    int next = 0;
    for (const auto& round : sequences_[at(rank)].rounds) {
      for (int32_t number : round.locals) position[at(number)] = next++;
      for (int32_t number : round.transfers) position[at(number)] = next;
      ++next;
    }
    for (int at_step : position) ASSERT_GE(at_step, 0) << "a step was forgotten";
    for (const auto& edge : program.edges)
      ASSERT_LT(position[at(edge.before)], position[at(edge.after)]) << "rank " << rank;
  }

  std::byte* resolve(int rank, const Operand& operand) {
    if (operand.slot < 0) return operand.data;
    return scratch_[at(rank)].data() + sequences_[at(rank)].slot_offsets[at(operand.slot)] +
           operand.offset;
  }

  void reduce(int rank, int32_t number) {
    const Program& program = programs_[at(rank)];
    const Step& local = step(rank, number);
    std::vector<Source> inputs;
    for (int32_t i = 0; i < local.input_count; ++i) {
      const Operand& operand = program.operands[at(local.inputs + i)];
      inputs.push_back({.data = resolve(rank, operand), .wide = operand.wide});
    }
    reduce_in_order(program.type, program.op, inputs, resolve(rank, local.output),
                    local.output.wide, local.count);
  }

  void move(size_t round) {
    std::map<std::pair<int, int>, std::vector<std::byte>> wire;
    for (const bool sending : {true, false}) {
      for (int rank = 0; rank < ranks(); ++rank) {
        const auto* mine = round_of(rank, round);
        if (mine == nullptr) continue;
        for (int32_t number : mine->transfers) {
          const Step& transfer = step(rank, number);
          if ((transfer.kind == StepKind::send) != sending) continue;
          std::byte* here = resolve(rank, transfer.output);
          const auto bytes = static_cast<size_t>(transfer.bytes);
          if (sending) {
            wire[{rank, transfer.peer}].assign(here, here + bytes);
          } else {
            ASSERT_EQ((wire[{transfer.peer, rank}].size()), bytes);
            std::memcpy(here, wire[{transfer.peer, rank}].data(), bytes);
          }
        }
      }
    }
  }

  std::vector<Program> programs_;
  std::vector<Sequence> sequences_;
  std::vector<std::vector<std::byte>> scratch_;
};

std::vector<int> nodes_of(int ranks, int per_node) {
  std::vector<int> nodes;
  for (int r = 0; r < ranks; ++r) nodes.push_back(r / per_node);
  return nodes;
}

template <class T>
void expect_sums(const std::vector<std::vector<T>>& out, int64_t count, int ranks) {
  for (const auto& values : out)
    for (int64_t i = 0; i < count; ++i)
      ASSERT_EQ(contract::to_double(values[static_cast<size_t>(i)]), sum_at(ranks, i)) << i;
}

template <class T>
void check_all_reduce(int ranks, int per_node, int64_t count, bool in_place) {
  const auto nodes = nodes_of(ranks, per_node);
  std::vector<std::vector<T>> in, out;
  for (int r = 0; r < ranks; ++r) {
    in.push_back(input_of<T>(r, count));
    out.push_back(in.back());
  }
  std::vector<Program> programs;
  for (int r = 0; r < ranks; ++r) {
    const auto i = static_cast<size_t>(r);
    const dense::Reduction reduction{.in = in_place ? out[i].data() : in[i].data(),
                                     .out = out[i].data(),
                                     .type = dtype_of<T>(),
                                     .op = ReduceOp::sum,
                                     .segment_bytes = 4096};
    programs.push_back(dense::reduce_blocks(Group(r, nodes), reduction,
                                            dense::split_evenly(count, ranks),
                                            dense::Destination::everybody, 0));
  }
  Lockstep(std::move(programs)).run();
  expect_sums(out, count, ranks);
}

TEST(Sequence, AddsInOrderOnAnyNodes) {
  for (const auto& [ranks, per_node] :
       std::vector<std::pair<int, int>>{{1, 1}, {2, 2}, {3, 2}, {8, 8}, {8, 2}, {12, 4}}) {
    for (bool in_place : {false, true}) {
      check_all_reduce<float>(ranks, per_node, 20011, in_place);
      check_all_reduce<bf16>(ranks, per_node, 777, in_place);
    }
    if (HasFatalFailure()) FAIL() << ranks << " ranks, " << per_node << " per node";
  }
}

// Every kind of placement, all algorithms: gathered and reduced as by a direct computation.
void check_sparse(uint64_t seed, SparseAlgorithm algorithm, bool reduce) {
  const int ranks = 1 + static_cast<int>(seed % 9);
  const SparseCase test = random_sparse_case(seed, ranks, 1 + static_cast<int>(seed % 4), 7, 3000);
  std::vector<int64_t> bytes;
  for (int64_t count : test.elements) bytes.push_back(count * 4);
  const SparseRequest request{.owners = test.owners,
                              .materialized = &test.materialized,
                              .chunk_bytes = bytes,
                              .topology = &test.topology,
                              .algorithm = algorithm,
                              .segment_bytes = 1024};
  const SparseSchedule schedule = reduce ? plan_reduce(request) : plan_gather(request);
  std::vector<std::vector<std::vector<float>>> data(static_cast<size_t>(ranks)), sums;
  for (int r = 0; r < ranks; ++r)
    for (size_t e = 0; e < bytes.size(); ++e)
      data[static_cast<size_t>(r)].push_back(
          input_of<float>(reduce || r == test.owners[e] ? r : 50, test.elements[e] + 1));
  sums = data;
  std::vector<Program> programs;
  for (size_t r = 0; r < data.size(); ++r) {
    std::vector<void*> chunks, outputs;
    for (auto& chunk : data[r]) chunks.push_back(chunk.data());
    for (auto& chunk : sums[r]) outputs.push_back(chunk.data());
    const std::vector<const void*> inputs(chunks.begin(), chunks.end());
    const int rank = static_cast<int>(r);
    programs.push_back(
        reduce ? reduce_program(schedule, rank, ranks, inputs, outputs, DType::f32, 1024)
               : gather_program(schedule, rank, ranks, chunks, DType::f32, DType::f32, 1024));
  }
  Lockstep(std::move(programs)).run();
  for (size_t e = 0; e < bytes.size(); ++e) {
    const auto chunk = static_cast<int>(e);
    for (int64_t i = 0; i < test.elements[e]; ++i) {
      int sum = 0;
      for (int holder : test.materialized.holders(chunk)) {
        sum += value_of(holder, i);
        if (reduce) continue;
        ASSERT_EQ(data[static_cast<size_t>(holder)][e][static_cast<size_t>(i)],
                  value_of(test.owners[e], i));
      }
      if (!reduce) continue;
      ASSERT_EQ(sums[static_cast<size_t>(test.owners[e])][e][static_cast<size_t>(i)], sum);
    }
  }
}

TEST(Sequence, CarriesOutSparseSchedules) {
  for (uint64_t seed = 0; seed < 150; ++seed) {
    for (auto algorithm : {SparseAlgorithm::group, SparseAlgorithm::direct, SparseAlgorithm::tree})
      for (bool reduce : {false, true}) check_sparse(seed, algorithm, reduce);
    if (HasFatalFailure()) FAIL() << "seed " << seed;
  }
}

TEST(Sequence, CarriesOutTokenExchanges) {
  constexpr int kRanks = 6;
  constexpr int64_t kRow = 40;
  const Topology topology = Topology::uniform(kRanks, 2, {8e9, 1e-6}, {125e6, 5e-5});
  std::vector<int64_t> rows;
  for (int i = 0; i < kRanks * kRanks; ++i) rows.push_back(i * 7 % 60);
  const TokenPlan plan = plan_token_exchange(rows, kRow, topology, ExchangeAlgorithm::hierarchical);
  std::vector<std::vector<uint8_t>> in(kRanks), out(kRanks);
  std::vector<dense::Layout> sends, receives;
  for (int r = 0; r < kRanks; ++r) {
    std::vector<int64_t> to, from;
    for (int other = 0; other < kRanks; ++other) {
      to.push_back(plan.count(r, other) * kRow);
      from.push_back(plan.count(other, r) * kRow);
      for (int64_t i = 0; i < to.back(); ++i)
        in[static_cast<size_t>(r)].push_back(static_cast<uint8_t>(r * 40 + other * 6 + i % 5));
    }
    sends.push_back(dense::packed(to));
    receives.push_back(dense::packed(from));
    out[static_cast<size_t>(r)].resize(static_cast<size_t>(receives.back().total));
  }
  std::vector<Program> programs;
  for (size_t r = 0; r < kRanks; ++r)
    programs.push_back(hierarchical_program(Group(static_cast<int>(r), plan.node_of), plan,
                                            in[r].data(), sends[r], out[r].data(), receives[r],
                                            kRow, 512));
  Lockstep(std::move(programs)).run();
  for (size_t r = 0; r < kRanks; ++r)
    for (size_t s = 0; s < kRanks; ++s)
      for (int64_t i = 0; i < receives[r].counts[s]; ++i)
        ASSERT_EQ(out[r][static_cast<size_t>(receives[r].offsets[s] + i)],
                  static_cast<uint8_t>(s * 40 + r * 6 + static_cast<size_t>(i % 5)));
}

// A chunk relayed in segments: as many rounds as segments, and one per further hop.
TEST(Sequence, PipelinesSegments) {
  constexpr int kRanks = 5;
  constexpr int64_t kSegments = 20;
  std::vector<std::vector<std::byte>> data(kRanks, std::vector<std::byte>(kSegments * 100));
  std::vector<Program> programs;
  for (int r = 0; r < kRanks; ++r) {
    ProgramBuilder builder(kRanks, DType::u8);
    for (int64_t s = 0; s < kSegments; ++s) {
      const Operand piece = memory(data[static_cast<size_t>(r)].data() + s * 100);
      const int32_t got = r > 0 ? builder.receive(r - 1, piece, 100) : -1;
      if (r + 1 < kRanks) builder.send(r + 1, piece, 100, {got});
    }
    programs.push_back(builder.take());
  }
  const Lockstep lockstep(std::move(programs));
  EXPECT_EQ(lockstep.rounds(), kSegments + kRanks - 2 + 1);  // and the end, without transfers
}

TEST(Sequence, SlotsOfDifferentTimesShareTheScratch) {
  constexpr int64_t kSegments = 50;
  std::vector<std::vector<float>> data(2, std::vector<float>(kSegments * 100));
  std::vector<Program> programs;
  for (int r = 0; r < 2; ++r) {
    ProgramBuilder builder(2, DType::f32);
    for (int64_t s = 0; s < kSegments; ++s) {
      const Operand slot = builder.slot(100, false);
      const Operand mine = memory(data[static_cast<size_t>(r)].data() + s * 100);
      if (r == 0) {
        builder.send(1, slot, 400, {builder.copy(mine, slot, 100)});
      } else {
        builder.copy(slot, mine, 100, {builder.receive(0, slot, 400)});
      }
    }
    programs.push_back(builder.take());
  }
  std::iota(data[0].begin(), data[0].end(), 1.0f);
  Lockstep lockstep(std::move(programs));
  lockstep.run();
  EXPECT_EQ(data[1], data[0]);
  for (int r = 0; r < 2; ++r) EXPECT_LE(lockstep.scratch_bytes(r), 3 * 512) << "rank " << r;
}

TEST(Sequence, KeepsRoundsShort) {
  constexpr int kRanks = 9;
  std::vector<int64_t> counts(kRanks, 50);
  std::vector<std::vector<float>> in(kRanks, std::vector<float>(50 * kRanks)), out = in;
  const auto nodes = nodes_of(kRanks, kRanks);
  std::vector<Program> programs;
  for (size_t r = 0; r < kRanks; ++r)
    programs.push_back(dense::all_to_all(Group(static_cast<int>(r), nodes), in[r].data(),
                                         dense::packed(counts), out[r].data(),
                                         dense::packed(counts), DType::f32, 1 << 20));
  EXPECT_EQ(Lockstep(programs, 16).rounds(), 2u);  // all at once
  EXPECT_GE(Lockstep(programs, 4).rounds(), 5u);
  EXPECT_NO_FATAL_FAILURE(Lockstep(programs, 1));
}

TEST(Sequence, RefusesProgramsThatDoNotMatch) {
  std::vector<std::byte> data(100);
  const auto programs = [&](int64_t sent, int64_t expected, int messages) {
    ProgramBuilder first(2, DType::u8), second(2, DType::u8);
    for (int i = 0; i < messages; ++i) first.send(1, memory(data.data()), sent);
    second.receive(0, memory(data.data()), expected);
    return std::vector<Program>{first.take(), second.take()};
  };
  EXPECT_NO_THROW(plan_sequence(programs(10, 10, 1), 0, 8));
  EXPECT_THROW(plan_sequence(programs(10, 12, 1), 0, 8), InvalidArgument);
  EXPECT_THROW(plan_sequence(programs(10, 10, 2), 1, 8), InvalidArgument);
  EXPECT_THROW(plan_sequence(programs(10, 10, 1), 0, 0), InvalidArgument);
}

}  // namespace
}  // namespace hecate::collectives::nccl
