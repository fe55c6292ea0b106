#include "collectives/sparse_program.h"

#include <gtest/gtest.h>

#include "tests/collectives/random_placement.h"

namespace hecate::collectives {
namespace {

constexpr int kRanks = 8, kExperts = 12;

// The programs of all ranks for one random gather.
std::vector<Program> gather_programs(const SparseCase& test) {
  std::vector<int64_t> bytes;
  for (int64_t count : test.elements) bytes.push_back(count * 4);
  const SparseSchedule schedule = plan_gather({.owners = test.owners,
                                               .materialized = &test.materialized,
                                               .chunk_bytes = bytes,
                                               .topology = &test.topology,
                                               .algorithm = SparseAlgorithm::tree});
  std::byte anywhere{};
  const std::vector<void*> chunks(kExperts, &anywhere);
  std::vector<Program> programs;
  for (int rank = 0; rank < kRanks; ++rank)
    programs.push_back(
        gather_program(schedule, rank, kRanks, chunks, DType::f32, DType::f32, 64 << 10));
  return programs;
}

TEST(SparseProgram, SharesOfALinkAddUpToOne) {
  int links = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const SparseCase test = random_sparse_case(seed, kRanks, 2, kExperts, 5000);
    const std::vector<Program> programs = gather_programs(test);
    for (int node = 0; node < kRanks / 2; ++node) {
      double out = 0, in = 0;
      for (int rank = 0; rank < kRanks; ++rank) {
        const LinkShares& shares = programs[static_cast<size_t>(rank)].shares;
        if (rank / 2 == node) out += shares.out;
        for (int peer : {2 * node, 2 * node + 1}) in += shares.to[static_cast<size_t>(peer)];
      }
      EXPECT_TRUE(out == 0 || std::abs(out - 1) < 1e-12) << "seed " << seed << ", out " << out;
      EXPECT_TRUE(in == 0 || std::abs(in - 1) < 1e-12) << "seed " << seed << ", in " << in;
      links += out > 0;
    }
  }
  EXPECT_GT(links, 20);
}

TEST(SparseProgram, ShareFollowsTheBytes) {
  SparseCase test;
  test.topology = Topology::uniform(kRanks, 2, {8e9, 1e-6}, {125e6, 5e-5});
  test.materialized = Placement(kExperts, kRanks);
  test.owners.assign(kExperts, 0);
  test.elements.assign(kExperts, 3000);
  for (int e = 0; e < kExperts; ++e) test.owners[static_cast<size_t>(e)] = e < 9 ? 0 : 1;
  for (int e = 0; e < kExperts; ++e) {
    test.materialized.add(e, test.owners[static_cast<size_t>(e)]);
    test.materialized.add(e, 2);
  }
  const std::vector<Program> programs = gather_programs(test);
  EXPECT_DOUBLE_EQ(programs[0].shares.out, 0.75);
  EXPECT_DOUBLE_EQ(programs[0].shares.to[2], 0.75);
  EXPECT_DOUBLE_EQ(programs[1].shares.to[2], 0.25);
}

}  // namespace
}  // namespace hecate::collectives
