#include "tests/collectives/contract_traffic.h"

#include "collectives/sparse.h"
#include "collectives/token_exchange.h"
#include "tests/collectives/contract_values.h"
#include "tests/collectives/random_placement.h"

namespace hecate::collectives::contract {
namespace {

constexpr int64_t kElements = 9000;

// What `body` moves on this rank.
template <class Body>
Traffic traffic_of(const Communicator& world, const Body& body) {
  const Traffic before = world.traffic();
  body();
  Traffic after = world.traffic();
  after -= before;
  return after;
}

void require_links(const char* what, const Traffic& traffic, LaneKind lane, TrafficKind kind,
                   const std::vector<LinkBytes>& expected) {
  require(traffic.ranks() == std::ssize(expected), what, ": counted for ", traffic.ranks(),
          " ranks");
  for (int peer = 0; peer < traffic.ranks(); ++peer) {
    const LinkBytes& link = traffic.link(lane, kind, peer);
    const LinkBytes& wanted = expected[static_cast<size_t>(peer)];
    require(link == wanted, what, ": ", link.sent, " bytes to and ", link.received, " from rank ",
            peer, ", expected ", wanted.sent, " and ", wanted.received);
  }
}

// The schedule's transfers, seen from a rank; sums that travel are `partial_width` times as wide.
std::vector<LinkBytes> links_of(const SparseSchedule& schedule, int rank, int partial_width) {
  std::vector<LinkBytes> links(schedule.node_of.size());
  for (const Transfer& transfer : schedule.transfers) {
    const int64_t bytes = transfer.bytes * (transfer.partial ? partial_width : 1);
    if (transfer.source == rank) links[static_cast<size_t>(transfer.destination)].sent += bytes;
    if (transfer.destination == rank) links[static_cast<size_t>(transfer.source)].received += bytes;
  }
  return links;
}

// What a placement says, whatever the algorithm: every holder but the owner gets (gather) or gives
// (reduce) its chunk once.
int64_t held_of_others(const SparseCase& test, int rank, int64_t width) {
  int64_t bytes = 0;
  for (size_t e = 0; e < test.owners.size(); ++e)
    if (test.owners[e] != rank && test.materialized.holds(static_cast<int>(e), rank))
      bytes += test.elements[e] * width;
  return bytes;
}

void check_sparse(const Communicator& world, const SparseCase& test, SparseAlgorithm algorithm,
                  DType wire) {
  const auto width = static_cast<int64_t>(size_of(wire));
  std::vector<int64_t> bytes;
  for (int64_t elements : test.elements) bytes.push_back(elements * width);
  const SparseRequest request{.owners = test.owners,
                              .materialized = &test.materialized,
                              .chunk_bytes = bytes,
                              .topology = &test.topology,
                              .algorithm = algorithm,
                              .segment_bytes = 4096};
  std::vector<std::vector<float>> storage(bytes.size(), std::vector<float>(kElements + 1));
  std::vector<void*> chunks;
  for (auto& chunk : storage) chunks.push_back(chunk.data());
  const std::vector<const void*> inputs(chunks.begin(), chunks.end());

  const SparseSchedule gather = plan_gather(request);
  const Traffic gathered =
      traffic_of(world, [&] { sparse_all_gather(world, gather, chunks, DType::f32, wire).wait(); });
  require_links("spAG", gathered, world.lane(), TrafficKind::sparse_gather,
                links_of(gather, world.rank(), 1));
  require(gathered.total(TrafficKind::sparse_gather).received ==
              held_of_others(test, world.rank(), width),
          "spAG by ", name_of(algorithm), " brings more or less than what a rank holds");

  const SparseSchedule reduce = plan_reduce(request);
  const int partial_width = wire == DType::bf16 ? 2 : 1;
  const Traffic reduced =
      traffic_of(world, [&] { sparse_reduce_scatter(world, reduce, inputs, chunks, wire).wait(); });
  require_links("spRS", reduced, world.lane(), TrafficKind::sparse_reduce,
                links_of(reduce, world.rank(), partial_width));
  require(wire == DType::bf16 || reduced.total(TrafficKind::sparse_reduce).sent ==
                                     held_of_others(test, world.rank(), width),
          "spRS by ", name_of(algorithm), " takes more or less than what a rank holds");
  require(reduced.total(TrafficKind::sparse_gather) == LinkBytes{}, "spRS counted as spAG");
}

}  // namespace

void sparse_bytes_are_those_of_the_schedule(const Communicator& world) {
  const Communicator sparse = world.on_lane(LaneKind::sparse);
  for (uint64_t seed = 0; seed < 4; ++seed) {
    const SparseCase test = random_sparse_case(seed, world.size(), 2, 7, kElements);
    for (SparseAlgorithm algorithm :
         {SparseAlgorithm::direct, SparseAlgorithm::tree, SparseAlgorithm::group})
      for (DType wire : {DType::f32, DType::bf16}) check_sparse(sparse, test, algorithm, wire);
  }
}

void token_bytes_are_those_of_the_rows(const Communicator& world) {
  const auto n = static_cast<size_t>(world.size());
  const auto me = static_cast<size_t>(world.rank());
  constexpr int64_t kRowBytes = 20;
  std::vector<int64_t> rows(n * n);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i * 37 % 400);
  const Topology topology = Topology::uniform(world.size(), 2, {8e9, 1e-6}, {125e6, 5e-5});
  const TokenPlan plan = plan_token_exchange(rows, kRowBytes, topology, ExchangeAlgorithm::flat);
  std::vector<LinkBytes> links(n);
  int64_t leaving = 0, coming = 0;
  for (size_t r = 0; r < n; ++r) {
    leaving += rows[me * n + r];
    coming += rows[r * n + me];
    if (r != me)
      links[r] = {.sent = rows[me * n + r] * kRowBytes, .received = rows[r * n + me] * kRowBytes};
  }
  std::vector<std::byte> in(static_cast<size_t>(leaving * kRowBytes) + 1);
  std::vector<std::byte> out(static_cast<size_t>(coming * kRowBytes) + 1);
  const Communicator urgent = world.on_lane(LaneKind::dispatch);
  const Traffic there = traffic_of(
      world, [&] { dispatch_rows(urgent, plan, in.data(), out.data(), kRowBytes).wait(); });
  require_links("dispatch", there, LaneKind::dispatch, TrafficKind::dispatch, links);
  const Traffic back = traffic_of(
      world, [&] { combine_rows(urgent, plan, out.data(), in.data(), kRowBytes).wait(); });
  for (LinkBytes& link : links) std::swap(link.sent, link.received);
  require_links("combine", back, LaneKind::dispatch, TrafficKind::combine, links);
}

// Also of operations whose algorithm is nobody's business.
void every_byte_sent_is_received(const Communicator& world) {
  const int64_t count = 3001, n = world.size();
  std::vector<int64_t> one(static_cast<size_t>(count), 1), all(static_cast<size_t>(count * n));
  std::vector<int64_t> wide(all.size(), 1);
  const Traffic traffic = traffic_of(world, [&] {
    world.all_gather(one.data(), all.data(), count, DType::i64).wait();
    world.all_reduce(one.data(), one.data(), count, DType::i64, ReduceOp::sum).wait();
    world.reduce_scatter(wide.data(), one.data(), count, DType::i64, ReduceOp::sum).wait();
    world.all_to_all(wide.data(), all.data(), count, DType::i64).wait();
    world.broadcast(one.data(), count, DType::i64, 0).wait();
  });
  std::vector<int64_t> sums;
  for (size_t kind = 0; kind < kTrafficKinds; ++kind) {
    const LinkBytes bytes = traffic.total(static_cast<TrafficKind>(kind));
    sums.insert(sums.end(), {bytes.sent, bytes.received});
  }
  world.all_reduce(sums.data(), sums.data(), std::ssize(sums), DType::i64, ReduceOp::sum).wait();
  for (size_t kind = 0; kind < kTrafficKinds; ++kind)
    require(sums[2 * kind] == sums[2 * kind + 1], sums[2 * kind], " bytes of ",
            name_of(static_cast<TrafficKind>(kind)), " were sent, ", sums[2 * kind + 1],
            " received");
  require(traffic.link(TrafficKind::dense_gather, world.rank()) == LinkBytes{},
          "a rank has traffic with itself");
}

}  // namespace hecate::collectives::contract
