#include "collectives/token_exchange.h"

#include <algorithm>
#include <array>

#include "collectives/backend.h"
#include "collectives/dense/algorithms.h"
#include "collectives/token_program.h"
#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

constexpr std::array<std::string_view, 3> kNames = {"flat", "hierarchical", "auto"};
// What one message costs a rank besides its bytes.
constexpr double kMessageSeconds = 5e-6;

// Bytes and messages of an exchange, where they are most.
struct Load {
  double link_bytes = 0, port_bytes = 0, messages = 0;
};

double largest(const std::vector<double>& values) {
  return *std::max_element(values.begin(), values.end());
}

Load load_of(const TokenPlan& plan, int64_t row_bytes, int nodes) {
  const auto size = static_cast<size_t>(plan.ranks);
  std::vector<double> out(static_cast<size_t>(nodes)), in(out), port(size), messages(size);
  for (size_t s = 0; s < size; ++s) {
    for (size_t d = 0; d < size; ++d) {
      const auto bytes = static_cast<double>(plan.rows[s * size + d] * row_bytes);
      if (s == d || bytes == 0) continue;
      const auto from = static_cast<size_t>(plan.node_of[s]);
      const auto to = static_cast<size_t>(plan.node_of[d]);
      port[s] += bytes;
      port[d] += bytes;
      if (from == to) continue;
      out[from] += bytes;
      in[to] += bytes;
      messages[s] += 1;
    }
  }
  return {.link_bytes = std::max(largest(out), largest(in)),
          .port_bytes = largest(port),
          .messages = largest(messages)};
}

double model(const TokenPlan& plan, const Load& load, const Topology& topology, int nodes) {
  const double wire = load.link_bytes / topology.between.bytes_per_s;
  const double inside = load.port_bytes / topology.inside.bytes_per_s;
  if (plan.algorithm == ExchangeAlgorithm::flat)
    return std::max(wire, inside) + topology.between.latency_s + load.messages * kMessageSeconds;
  // Every row passes through up to two more ports; the messages of a node are shared by its ranks.
  const double per_node = static_cast<double>(plan.ranks) / nodes;
  const double messages = (nodes - 1) / per_node + 2 * load.messages / per_node;
  return wire + 2 * inside + topology.between.latency_s + 2 * topology.inside.latency_s +
         messages * kMessageSeconds;
}

dense::Layout layout_of(const TokenPlan& plan, int rank, bool by_destination, int64_t row_bytes) {
  std::vector<int64_t> bytes;
  for (int other = 0; other < plan.ranks; ++other)
    bytes.push_back(row_bytes *
                    (by_destination ? plan.count(rank, other) : plan.count(other, rank)));
  return dense::packed(bytes);
}

uint64_t fingerprint(const TokenPlan& plan, int64_t row_bytes) {
  uint64_t hash = static_cast<uint64_t>(row_bytes) * 3 + static_cast<uint64_t>(plan.algorithm);
  const auto mix = [&](int64_t value) {
    hash = (hash ^ static_cast<uint64_t>(value)) * 0x100000001b3ull;
    hash ^= hash >> 31;
  };
  for (int64_t rows : plan.rows) mix(rows);
  for (int node : plan.node_of) mix(node);
  return hash;
}

Program program_of(const TokenPlan& plan, int rank, const void* in, void* out, int64_t row_bytes,
                   int64_t segment_bytes) {
  const Group group(rank, plan.node_of);
  const dense::Layout sends = layout_of(plan, rank, true, row_bytes);
  const dense::Layout receives = layout_of(plan, rank, false, row_bytes);
  return plan.algorithm == ExchangeAlgorithm::flat
             ? dense::all_to_all(group, in, sends, out, receives, DType::u8, segment_bytes)
             : hierarchical_program(group, plan, in, sends, out, receives, row_bytes,
                                    segment_bytes);
}

Work move_rows(const Communicator& communicator, const TokenPlan& plan, const void* in, void* out,
               int64_t row_bytes, const char* operation) {
  HECATE_CHECK(plan.ranks == communicator.size(), operation, ": planned for ", plan.ranks,
               " ranks, called on ", communicator.size());
  HECATE_CHECK(row_bytes >= 0, operation, ": rows of ", row_bytes, " bytes");
  const int me = communicator.rank();
  HECATE_CHECK((layout_of(plan, me, true, row_bytes).total == 0 || in != nullptr) &&
                   (layout_of(plan, me, false, row_bytes).total == 0 || out != nullptr),
               operation, ": a buffer is null");
  CommunicatorBackend& backend = communicator.backend();
  const auto program = [&](int rank) {
    std::byte elsewhere{};  // stands for another rank's memory
    return rank == me
               ? program_of(plan, rank, in, out, row_bytes, backend.segment_bytes())
               : program_of(plan, rank, &elsewhere, &elsewhere, row_bytes, backend.segment_bytes());
  };
  return backend.run(program, operation, fingerprint(plan, row_bytes));
}

TokenPlan transposed(const TokenPlan& plan) {
  TokenPlan result = plan;
  const auto n = static_cast<size_t>(plan.ranks);
  for (size_t s = 0; s < n; ++s)
    for (size_t d = 0; d < n; ++d) result.rows[d * n + s] = plan.rows[s * n + d];
  return result;
}

}  // namespace

std::string_view name_of(ExchangeAlgorithm algorithm) {
  return kNames[static_cast<size_t>(algorithm)];
}

ExchangeAlgorithm exchange_algorithm(std::string_view name) {
  const auto at = std::find(kNames.begin(), kNames.end(), name);
  HECATE_CHECK(at != kNames.end(), "exchange algorithm '", name,
               "': expected flat, hierarchical or auto");
  return static_cast<ExchangeAlgorithm>(at - kNames.begin());
}

Work gather_row_counts(const Communicator& communicator, std::span<const int64_t> rows,
                       std::span<int64_t> all) {
  const int64_t n = communicator.size();
  HECATE_CHECK(std::ssize(rows) == n && std::ssize(all) == n * n,
               "gather_row_counts: ", rows.size(), " counts into ", all.size(), " for ", n,
               " ranks");
  return communicator.all_gather(rows.data(), all.data(), n, DType::i64);
}

TokenPlan plan_token_exchange(std::span<const int64_t> rows, int64_t row_bytes,
                              const Topology& topology, ExchangeAlgorithm algorithm) {
  const int64_t n = topology.ranks();
  HECATE_CHECK(std::ssize(rows) == n * n, "token exchange: ", rows.size(), " counts for ", n,
               " ranks");
  for (int64_t count : rows) HECATE_CHECK(count >= 0, "token exchange: ", count, " rows");
  TokenPlan flat{.algorithm = ExchangeAlgorithm::flat,
                 .ranks = static_cast<int>(n),
                 .rows = {rows.begin(), rows.end()},
                 .node_of = topology.node_of,
                 .modelled_seconds = 0};
  TokenPlan layered = flat;
  layered.algorithm = ExchangeAlgorithm::hierarchical;
  const int nodes = topology.nodes();
  const Load load = load_of(flat, row_bytes, nodes);
  flat.modelled_seconds = model(flat, load, topology, nodes);
  layered.modelled_seconds = model(layered, load, topology, nodes);
  if (algorithm == ExchangeAlgorithm::automatic)
    return layered.modelled_seconds < flat.modelled_seconds ? layered : flat;
  return algorithm == ExchangeAlgorithm::flat ? flat : layered;
}

Work dispatch_rows(const Communicator& communicator, const TokenPlan& plan, const void* in,
                   void* out, int64_t row_bytes) {
  return move_rows(communicator, plan, in, out, row_bytes, "dispatch");
}

Work combine_rows(const Communicator& communicator, const TokenPlan& plan, const void* in,
                  void* out, int64_t row_bytes) {
  return move_rows(communicator, transposed(plan), in, out, row_bytes, "combine");
}

}  // namespace hecate::collectives
