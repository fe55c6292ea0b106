#include "tests/collectives/mismatch.h"

#include "collectives/sparse.h"
#include "collectives/token_exchange.h"
#include "runtime/base/error.h"

namespace hecate::collectives::contract {
namespace {

constexpr DType kType = DType::f32;

struct Buffers {
  std::vector<float> in = std::vector<float>(400), out = std::vector<float>(400);
};

void different_operations(const Communicator& group, bool odd) {
  Buffers b;
  (odd ? group.barrier() : group.all_reduce(b.in.data(), b.out.data(), 1, kType, ReduceOp::sum))
      .wait();
}

void operations_of_equal_shape(const Communicator& group, bool odd) {
  Buffers b;
  (odd ? group.all_gather(b.in.data(), b.out.data(), 9, kType)
       : group.reduce_scatter(b.in.data(), b.out.data(), 9, kType, ReduceOp::sum))
      .wait();
}

void broadcast_root(const Communicator& group, bool odd) {
  Buffers b;
  group.broadcast(b.in.data(), 9, kType, odd ? 1 : 0).wait();
}

void broadcast_type(const Communicator& group, bool odd) {
  Buffers b;
  group.broadcast(b.in.data(), 9, odd ? DType::i32 : kType, 0).wait();
}

void reduce_root(const Communicator& group, bool odd) {
  Buffers b;
  group.reduce(b.in.data(), b.out.data(), 9, kType, ReduceOp::sum, odd ? 2 : 0).wait();
}

void reduce_operator(const Communicator& group, bool odd) {
  Buffers b;
  group.reduce(b.in.data(), b.out.data(), 9, kType, odd ? ReduceOp::max : ReduceOp::sum, 0).wait();
}

void all_reduce_count(const Communicator& group, bool odd) {
  Buffers b;
  group.all_reduce(b.in.data(), b.out.data(), odd ? 99 : 100, kType, ReduceOp::sum).wait();
}

void all_reduce_type(const Communicator& group, bool odd) {
  Buffers b;
  group.all_reduce(b.in.data(), b.out.data(), 9, odd ? DType::i32 : kType, ReduceOp::sum).wait();
}

void all_gather_counts(const Communicator& group, bool odd) {
  Buffers b;
  const int64_t counts[] = {3, 4, odd ? 6 : 5};
  group.all_gather_v(b.in.data(), b.out.data(), counts, kType).wait();
}

void reduce_scatter_counts(const Communicator& group, bool odd) {
  Buffers b;
  const int64_t counts[] = {3, odd ? 5 : 4, odd ? 4 : 5};  // the same total
  group.reduce_scatter_v(b.in.data(), b.out.data(), counts, kType, ReduceOp::sum).wait();
}

void all_to_all_block(const Communicator& group, bool odd) {
  Buffers b;
  const int64_t sends[] = {odd ? 5 : 4, 4, 4}, receives[] = {4, 4, 4};  // rank 0 expects 4
  group.all_to_all_v(b.in.data(), sends, b.out.data(), receives, kType).wait();
}

void all_to_all_type(const Communicator& group, bool odd) {
  Buffers b;
  group.all_to_all(b.in.data(), b.out.data(), 4, odd ? DType::i32 : kType).wait();
}

void exchange_length(const Communicator& group, bool odd) {
  Buffers b;
  // Longer by exactly one segment, which the pieces alone would not show.
  std::vector<std::byte> data(64 << 10);
  const int64_t bytes = odd ? 32 << 10 : 16 << 10;
  if (group.rank() == 1) {
    const Send message[] = {{0, data.data(), bytes}};
    group.exchange(message, {}).wait();
  } else if (group.rank() == 0) {
    const Receive message[] = {{1, data.data(), bytes}};
    group.exchange({}, message).wait();
  }
}

struct Sparse {
  Buffers buffers;
  std::vector<int> owners = {2, 1};  // rank 2 is alone on its node
  std::vector<int64_t> bytes = {400, 400};
  Topology topology = Topology::uniform(3, 2, {8e9, 1e-6}, {125e6, 5e-5});
  Placement placement = Placement::from_owners(owners, 3);
  std::vector<void*> chunks;
  std::vector<const void*> inputs;

  Sparse() {
    placement.add_everywhere(0);
    placement.add(1, 0);
    chunks = {buffers.out.data(), buffers.out.data() + 100};
    inputs = {buffers.in.data(), buffers.in.data() + 100};
  }
  SparseRequest request() const {
    return {.owners = owners,
            .materialized = &placement,
            .chunk_bytes = bytes,
            .topology = &topology,
            .algorithm = SparseAlgorithm::direct};
  }
};

void sparse_gather_placement(const Communicator& group, bool odd) {
  Sparse s;
  if (odd) s.placement.add(1, 2);
  sparse_all_gather(group, plan_gather(s.request()), s.chunks, kType, kType).wait();
}

void sparse_gather_wire(const Communicator& group, bool odd) {
  Sparse s;
  sparse_all_gather(group, plan_gather(s.request()), s.chunks, kType, odd ? DType::bf16 : kType)
      .wait();
}

void sparse_reduce_algorithm(const Communicator& group, bool odd) {
  Sparse s;
  SparseRequest request = s.request();
  if (odd) request.algorithm = SparseAlgorithm::tree;
  sparse_reduce_scatter(group, plan_reduce(request), s.inputs, s.chunks, kType).wait();
}

void sparse_reduce_type(const Communicator& group, bool odd) {
  Sparse s;
  sparse_reduce_scatter(group, plan_reduce(s.request()), s.inputs, s.chunks,
                        odd ? DType::i32 : kType)
      .wait();
}

TokenPlan token_plan(bool odd, ExchangeAlgorithm algorithm) {
  const int64_t rows[] = {1, 2, 3, 2, 1, odd ? 4 : 3, 3, 3, 1};
  return plan_token_exchange(rows, 8, Topology::uniform(3, 2, {8e9, 1e-6}, {125e6, 5e-5}),
                             algorithm);
}

void dispatch_rows_differ(const Communicator& group, bool odd) {
  Buffers b;
  const TokenPlan plan = token_plan(odd, ExchangeAlgorithm::flat);
  dispatch_rows(group, plan, b.in.data(), b.out.data(), 8).wait();
}

void dispatch_row_bytes(const Communicator& group, bool odd) {
  Buffers b;
  const TokenPlan plan = token_plan(false, ExchangeAlgorithm::hierarchical);
  dispatch_rows(group, plan, b.in.data(), b.out.data(), odd ? 4 : 8).wait();
}

void combine_algorithm(const Communicator& group, bool odd) {
  Buffers b;
  const TokenPlan plan =
      token_plan(false, odd ? ExchangeAlgorithm::flat : ExchangeAlgorithm::hierarchical);
  combine_rows(group, plan, b.in.data(), b.out.data(), 8).wait();
}

// The rows are symmetric: both ways look alike.
void dispatch_against_combine(const Communicator& group, bool odd) {
  Buffers b;
  const TokenPlan plan = token_plan(false, ExchangeAlgorithm::flat);
  (odd ? dispatch_rows(group, plan, b.in.data(), b.out.data(), 8)
       : combine_rows(group, plan, b.in.data(), b.out.data(), 8))
      .wait();
}

void row_counts(const Communicator& group, bool odd) {
  std::vector<int64_t> rows(3), all(9);
  if (odd) {
    group.broadcast(all.data(), 9, DType::i64, 0).wait();
  } else {
    gather_row_counts(group, rows, all).wait();
  }
}

constexpr Mismatch kMismatches[] = {
    {"DifferentOperations", different_operations, 3},
    {"OperationsOfEqualShape", operations_of_equal_shape, 3},
    {"BroadcastRoot", broadcast_root, 3},
    {"BroadcastType", broadcast_type, 3},
    {"ReduceRoot", reduce_root, 3},
    {"ReduceOperator", reduce_operator, 3},
    {"AllReduceCount", all_reduce_count, 3},
    {"AllReduceType", all_reduce_type, 3},
    {"AllGatherCounts", all_gather_counts, 3},
    {"ReduceScatterCounts", reduce_scatter_counts, 3},
    {"AllToAllBlock", all_to_all_block, 2},
    {"AllToAllType", all_to_all_type, 3},
    {"ExchangeLength", exchange_length, 1},
    {"SparseGatherPlacement", sparse_gather_placement, 3},
    {"SparseGatherWire", sparse_gather_wire, 3},
    {"SparseReduceAlgorithm", sparse_reduce_algorithm, 3},
    {"SparseReduceType", sparse_reduce_type, 3},
    {"DispatchRows", dispatch_rows_differ, 3},
    {"DispatchRowBytes", dispatch_row_bytes, 3},
    {"CombineAlgorithm", combine_algorithm, 3},
    {"DispatchAgainstCombine", dispatch_against_combine, 3},
    {"RowCounts", row_counts, 3},
};

}  // namespace

std::span<const Mismatch> mismatches() {
  return kMismatches;
}

std::string outcome_of(const Communicator& world, const Mismatch& mismatch) {
  const Communicator group = world.on_lane(LaneKind::sparse);
  std::string outcome = "no error";
  try {
    mismatch.call(group, group.rank() == 1);
  } catch (const InvalidArgument&) {
    outcome.clear();
  } catch (const CommError& error) {
    outcome = error.what();
  }
  // Those that only time out come later.
  world.barrier().wait_for(std::chrono::seconds(30));
  const bool right = outcome.empty() || group.rank() >= mismatch.seen_by;
  return right ? "" : concat(mismatch.name, ": ", outcome);
}

}  // namespace hecate::collectives::contract
