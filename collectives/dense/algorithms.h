#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "collectives/communicator.h"
#include "collectives/dense/group.h"
#include "collectives/engine/program.h"

/// Dense collectives as programs. Cost, with n ranks, b bytes per rank, N nodes:
///   barrier             ceil(log2 n) rounds of empty messages
///   broadcast           b into every node once, relayed in segments; depth N/2
///   reduce              reduce_scatter + gather to the root
///   all_reduce          reduce_scatter + all_gather, piece by piece; small ones: everything to
///                       everybody, one round
///   all_gather          every block enters a node once: b * n into each node
///   reduce_scatter      node sums leave a node once: b * n out of each node (b of one block)
///   all_to_all          one message per pair
/// Sums: rank order inside a node, then node order, in the accumulator's type.
namespace hecate::collectives::dense {

struct Layout {
  std::vector<int64_t> counts, offsets;  ///< elements per rank's block
  int64_t total = 0;
};
/// Blocks packed in rank order.
Layout packed(std::span<const int64_t> counts);
/// `count` elements in nearly equal blocks that start at multiples of 64.
Layout split_evenly(int64_t count, int ranks);

Program barrier(const Group& group);
Program broadcast(const Group& group, void* data, int64_t count, DType type, int root,
                  int64_t segment_bytes);
Program all_gather(const Group& group, const void* in, void* out, const Layout& layout, DType type,
                   int64_t segment_bytes);
Program all_to_all(const Group& group, const void* in, const Layout& sends, void* out,
                   const Layout& receives, DType type, int64_t segment_bytes);

struct Reduction {
  const void* in = nullptr;
  void* out = nullptr;
  DType type = DType::f32;
  ReduceOp op = ReduceOp::sum;
  int64_t segment_bytes = 0;
};
/// Where reduced blocks go.
enum class Destination : uint8_t { owner, root, everybody };
/// reduce_scatter (owner: `out` is this rank's block), reduce (root), all_reduce (everybody).
Program reduce_blocks(const Group& group, const Reduction& reduction, const Layout& layout,
                      Destination destination, int root);
/// all_reduce in one round: all inputs to all ranks.
Program reduce_at_once(const Group& group, const Reduction& reduction, int64_t count);

}  // namespace hecate::collectives::dense
