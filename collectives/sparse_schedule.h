#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "collectives/placement.h"
#include "collectives/topology.h"

/// Planning of the sparse collectives spAG and spRS (arXiv 2502.02581, section 4.2): pure functions
/// from a placement and a topology to transfers. No communication, no clock.
namespace hecate::collectives {

enum class SparseAlgorithm : uint8_t {
  group,      ///< a broadcast (or reduction) along a binomial tree per chunk: the paper's
  direct,     ///< owner to each holder, each holder to owner
  tree,       ///< into a node once, relayed between nodes so that no link is the bottleneck
  automatic,  ///< the one of least modelled time
};
std::string_view name_of(SparseAlgorithm algorithm);
/// @throws InvalidArgument naming the known ones ("auto" is automatic).
SparseAlgorithm sparse_algorithm(std::string_view name);

/// Bytes [offset, offset + bytes) of a chunk from one rank to another. The transfers of one part
/// (a byte range that travels along one tree) are adjacent, and a rank's incoming ones precede
/// its outgoing ones.
struct Transfer {
  int32_t chunk = 0, part = 0, source = 0, destination = 0;
  int64_t offset = 0, bytes = 0;
  bool partial = false;  ///< of a reduction: a sum, not the source's own values alone
};

struct SparseSchedule {
  SparseAlgorithm algorithm = SparseAlgorithm::tree;
  std::vector<Transfer> transfers;
  std::vector<int> owners;           ///< per chunk
  std::vector<int64_t> chunk_bytes;  ///< on the wire
  std::vector<int> node_of;          ///< per rank
  double modelled_seconds = 0;
  /// max over links (bytes that must cross it / bandwidth): no schedule can be faster.
  double lower_bound_seconds = 0;
};

struct SparseRequest {
  std::span<const int> owners;  ///< per chunk; chunk e is expert e
  const Placement* materialized = nullptr;
  std::span<const int64_t> chunk_bytes;  ///< >= 0, multiples of the element size
  const Topology* topology = nullptr;
  SparseAlgorithm algorithm = SparseAlgorithm::automatic;
  int64_t segment_bytes = 64 << 10;  ///< pipelining granularity of the execution
};

/// spAG(P, P'): every holder ends with the owner's chunk.
/// @throws InvalidArgument unless the owners are holders and the sizes agree.
SparseSchedule plan_gather(const SparseRequest& request);
/// spRS(P', P): the owner ends with the sum over all holders. Order of the sum: inside a node by
/// rank; then the node sums, from the node after the owner's round to the owner's own. The same
/// for `direct` and `tree`; `group` adds along its tree.
SparseSchedule plan_reduce(const SparseRequest& request);

/// The gather of one chunk from `root` to everybody, over links of equal speed.
SparseSchedule plan_broadcast(std::span<const int> node_of, int root, int64_t bytes,
                              int64_t segment_bytes);

/// Position of a node in the order of sums of chunks owned on `owner_node`: 0 first.
inline int sum_position(int node, int owner_node, int nodes) {
  return (node - owner_node - 1 + nodes) % nodes;
}

}  // namespace hecate::collectives
