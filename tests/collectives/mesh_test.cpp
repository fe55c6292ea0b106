#include "collectives/mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int> nodes_of(int ranks, int per_node) {
  std::vector<int> nodes;
  for (int r = 0; r < ranks; ++r) nodes.push_back(r / per_node);
  return nodes;
}

template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "not refused";
}

// Every rank is in one domain and one replica group, and the two cross in that rank alone.
void check_consistent(const Mesh& mesh) {
  for (int rank = 0; rank < mesh.ranks(); ++rank) {
    EXPECT_EQ(mesh.rank_at(mesh.position(rank)), rank);
    const auto data = mesh.data_ranks(rank), domain = mesh.domain_ranks(rank),
               replica = mesh.replica_ranks(rank);
    ASSERT_EQ(std::ssize(data), mesh.shape().dp);
    ASSERT_EQ(std::ssize(domain), mesh.domain_size());
    ASSERT_EQ(std::ssize(replica), mesh.domains());
    EXPECT_EQ(domain[static_cast<size_t>(mesh.place_of(rank))], rank);
    EXPECT_EQ(replica[static_cast<size_t>(mesh.domain_of(rank))], rank);
    std::set<int> reached;
    for (int mate : domain) {
      EXPECT_EQ(mesh.domain_ranks(mate), domain);
      for (int other : mesh.replica_ranks(mate)) reached.insert(other);
    }
    EXPECT_EQ(reached, std::set<int>(data.begin(), data.end()));
  }
}

TEST(Mesh, IsConsistentForEveryDivisorAsDomain) {
  for (int ranks : {1, 2, 3, 4, 8, 12}) {
    for (int domain = 1; domain <= ranks; ++domain) {
      if (ranks % domain != 0) continue;
      const Mesh mesh = Mesh::make(nodes_of(ranks, 4), {}, parse_domain(std::to_string(domain)));
      EXPECT_EQ(mesh.domain_size(), domain);
      check_consistent(mesh);
    }
  }
}

TEST(Mesh, IsOneDomainByDefault) {
  for (int ranks : {1, 2, 3, 4, 8, 12}) {
    const Mesh mesh = Mesh::make(nodes_of(ranks, 2));
    EXPECT_EQ(mesh.domains(), 1);
    EXPECT_EQ(mesh.domain_size(), ranks);
    EXPECT_EQ(mesh.shape().dp, ranks);
    check_consistent(mesh);
  }
}

TEST(Mesh, DomainsFollowNodesWhereverTheirRanksLie) {
  const std::vector<int> nodes = {7, 3, 7, 3, 5, 5};  // any numbers, interleaved
  const Mesh mesh = Mesh::make(nodes, {}, parse_domain("node"));
  EXPECT_EQ(mesh.domains(), 3);
  EXPECT_THAT(mesh.domain_ranks(2), ElementsAre(0, 2));
  EXPECT_THAT(mesh.domain_ranks(4), ElementsAre(4, 5));
  EXPECT_THAT(mesh.replica_ranks(3), ElementsAre(2, 3, 5));
  check_consistent(mesh);
}

TEST(Mesh, ConsecutiveRanksFormADomain) {
  const Mesh mesh = Mesh::make(nodes_of(12, 4), {}, parse_domain("3"));
  EXPECT_THAT(mesh.domain_ranks(7), ElementsAre(6, 7, 8));
  EXPECT_THAT(mesh.replica_ranks(7), ElementsAre(1, 4, 7, 10));
  EXPECT_EQ(mesh.domain_of(7), 2);
  EXPECT_EQ(mesh.place_of(7), 1);
}

TEST(Mesh, OtherAxesLieInsideDataParallel) {
  const Mesh mesh =
      Mesh::make(nodes_of(12, 4), {.dp = 0, .cp = 1, .tp = 2, .pp = 2}, parse_domain("1"));
  EXPECT_EQ(mesh.shape().dp, 3);
  EXPECT_EQ(mesh.position(7), (MeshPosition{.dp = 0, .cp = 0, .tp = 1, .pp = 1}));
  EXPECT_THAT(mesh.data_ranks(9), ElementsAre(7, 9, 11));
  check_consistent(mesh);
  // With tp = 2 a node of four holds two ranks of each data-parallel group.
  const Mesh by_node =
      Mesh::make(nodes_of(12, 4), {.dp = 6, .cp = 1, .tp = 2, .pp = 1}, parse_domain("node"));
  EXPECT_EQ(by_node.domain_size(), 2);
  EXPECT_THAT(by_node.domain_ranks(5), ElementsAre(5, 7));
  EXPECT_THAT(by_node.replica_ranks(5), ElementsAre(1, 5, 9));
  check_consistent(by_node);
}

TEST(Mesh, SaysWhatWouldMultiplyOut) {
  const auto nodes = nodes_of(8, 4);
  EXPECT_THAT(refusal([&] { Mesh::make(nodes, {.dp = 3, .cp = 1, .tp = 2, .pp = 1}); }),
              HasSubstr("dp 3 x cp 1 x tp 2 x pp 1 = 6, but there are 8 ranks; nearest valid: "
                        "dp 4"));
  EXPECT_THAT(refusal([&] { Mesh::make(nodes, {.dp = 0, .cp = 1, .tp = 3, .pp = 1}); }),
              HasSubstr("= 3 does not divide 8 ranks; nearest valid product: 2 or 4"));
  EXPECT_THAT(refusal([&] { Mesh::make(nodes, {.dp = 0, .cp = 4, .tp = 4, .pp = 1}); }),
              HasSubstr("= 16 does not divide 8 ranks; nearest valid product: 8"));
  EXPECT_THAT(refusal([&] { Mesh::make(nodes, {}, parse_domain("3")); }),
              HasSubstr("domains of 3 do not divide dp 8; nearest valid: 2 or 4"));
  EXPECT_THAT(refusal([&] { Mesh::make(nodes, {}, parse_domain("100")); }),
              HasSubstr("nearest valid: 8"));
  EXPECT_THAT(refusal([&] { Mesh::make(nodes_of(8, 3), {}, parse_domain("node")); }),
              HasSubstr("got 3 and 2; nearest valid: all, or 2 or 4 consecutive ranks"));
  EXPECT_THAT(refusal([&] { Mesh::make(nodes, {.dp = 8, .cp = 0, .tp = 1, .pp = 1}); }),
              HasSubstr("expected at least 1"));
}

TEST(Mesh, ReadsDomains) {
  for (const char* text : {"all", "node", "16"}) EXPECT_EQ(to_text(parse_domain(text)), text);
  for (const char* text : {"", "nodes", "0", "-2", "4x"})
    EXPECT_THAT(refusal([&] { parse_domain(text); }), HasSubstr("expected all, node or a number"));
}

}  // namespace
}  // namespace hecate::collectives
