#include "tests/collectives/contract_world.h"

#include <algorithm>
#include <numeric>

#include "collectives/world.h"
#include "tests/collectives/contract_values.h"

namespace hecate::collectives::contract {
namespace {

constexpr int64_t kCount = 3001;

// A group under way: what its ranks give in and what must come out.
struct Sum {
  std::string name;
  std::vector<int64_t> in, out;
  int64_t expected = 0;
  Work work;
};

Sum start(const char* name, const Communicator& group, int me, const std::vector<int>& members,
          int place) {
  require(group.size() == std::ssize(members), name, ": ", group.size(), " ranks, expected ",
          members.size());
  require(group.rank() == place, name, ": rank ", group.rank(), ", expected ", place);
  Sum sum{.name = name, .in = {}, .out = {}, .expected = 0, .work = {}};
  sum.in.assign(kCount, int64_t{1} << me);
  sum.out.resize(kCount);
  for (int member : members) sum.expected += int64_t{1} << member;
  sum.work = group.all_reduce(sum.in.data(), sum.out.data(), kCount, DType::i64, ReduceOp::sum);
  return sum;
}

void check(const World& world) {
  const Mesh& mesh = world.mesh();
  const int me = world.rank();
  std::vector<int> all(static_cast<size_t>(world.size()));
  std::iota(all.begin(), all.end(), 0);
  std::vector<Sum> sums;
  sums.reserve(8);  // buffers stay where they are
  for (LaneKind lane : {LaneKind::sparse, LaneKind::dense}) {
    sums.push_back(start("world", world.world(lane), me, all, me));
    sums.push_back(start("data", world.data(lane), me, mesh.data_ranks(me), mesh.position(me).dp));
    sums.push_back(
        start("domain", world.domain(lane), me, mesh.domain_ranks(me), mesh.place_of(me)));
    sums.push_back(
        start("replica", world.replica(lane), me, mesh.replica_ranks(me), mesh.domain_of(me)));
  }
  for (Sum& sum : sums) {
    sum.work.wait();
    const bool right = std::all_of(sum.out.begin(), sum.out.end(),
                                   [&](int64_t value) { return value == sum.expected; });
    require(right, sum.name, " gave ", sum.out[0], ", expected ", sum.expected);
  }
}

bool nodes_are_even(const Communicator& comm) {
  const auto nodes = comm.nodes();
  return std::all_of(nodes.begin(), nodes.end(), [&](int node) {
    return std::count(nodes.begin(), nodes.end(), node) ==
           std::count(nodes.begin(), nodes.end(), nodes[0]);
  });
}

}  // namespace

void world_groups_add_up(const Communicator& communicator) {
  const int n = communicator.size();
  WorldOptions options;
  for (int domain = 1; domain <= n; ++domain) {
    if (n % domain != 0) continue;
    options.domain = {.kind = DomainSpec::Kind::ranks, .ranks = domain};
    check(World(communicator, options));
  }
  options.domain = parse_domain("node");
  if (nodes_are_even(communicator)) check(World(communicator, options));
  options.domain = parse_domain("all");
  World world(communicator, options);
  require(world.epoch() == 1, "epoch ", world.epoch());
  if (n % 2 == 0) options.shape.tp = 2;
  world.reform(communicator, options);
  require(world.epoch() == 2, "epoch ", world.epoch(), " after a reform");
  check(world);
}

}  // namespace hecate::collectives::contract
