#include <algorithm>

#include "collectives/dense/algorithms.h"
#include "collectives/sparse_program.h"

namespace hecate::collectives::dense {
namespace {

int64_t segments_of(const Layout& layout, int64_t segment) {
  const int64_t longest =
      layout.counts.empty() ? 0 : *std::max_element(layout.counts.begin(), layout.counts.end());
  return (longest + segment - 1) / segment;
}

struct Piece {
  int64_t offset = 0, count = 0;  // elements
};

// Segment number `index` of a rank's block.
Piece piece_of(const Layout& layout, int rank, int64_t index, int64_t segment) {
  const auto r = static_cast<size_t>(rank);
  const int64_t begin = std::min(layout.counts[r], index * segment);
  const int64_t end = std::min(layout.counts[r], begin + segment);
  return {.offset = layout.offsets[r] + begin, .count = end - begin};
}

}  // namespace

Layout packed(std::span<const int64_t> counts) {
  Layout layout;
  for (int64_t count : counts) {
    layout.counts.push_back(count);
    layout.offsets.push_back(layout.total);
    layout.total += count;
  }
  return layout;
}

Layout split_evenly(int64_t count, int ranks) {
  constexpr int64_t kGrain = 64;
  const int64_t grains = (count + kGrain - 1) / kGrain;
  std::vector<int64_t> counts;
  int64_t begin = 0;
  for (int r = 0; r < ranks; ++r) {
    const int64_t end = std::min(count, (grains * (r + 1) / ranks) * kGrain);
    counts.push_back(end - begin);
    begin = end;
  }
  return packed(counts);
}

Program barrier(const Group& group) {
  ProgramBuilder builder(group.size(), DType::u8);
  std::vector<int32_t> arrived;
  const int n = group.size(), me = group.rank();
  for (int distance = 1; distance < n; distance *= 2) {
    const int32_t sent = builder.signal((me + distance) % n);
    for (int32_t before : arrived) builder.order(before, sent);
    arrived.push_back(builder.await_signal((me - distance + n) % n));
  }
  return builder.take();
}

Program broadcast(const Group& group, void* data, int64_t count, DType type, int root,
                  int64_t segment_bytes) {
  const int64_t bytes = count * static_cast<int64_t>(size_of(type));
  // Ranks that pass it on do so by segments.
  constexpr int64_t kRelayed = 256 << 10;
  if (group.size() > 2) segment_bytes = std::min(segment_bytes, kRelayed);
  const SparseSchedule schedule = plan_broadcast(group.node_of_ranks(), root, bytes, segment_bytes);
  void* const chunk[] = {data};
  return gather_program(schedule, group.rank(), group.size(), chunk, DType::u8, DType::u8,
                        segment_bytes);
}

Program all_gather(const Group& group, const void* in, void* out, const Layout& layout, DType type,
                   int64_t segment_bytes) {
  ProgramBuilder builder(group.size(), type);
  const auto width = static_cast<int64_t>(size_of(type));
  const int64_t segment = std::max<int64_t>(1, segment_bytes / width);
  const int me = group.rank(), my_node = group.node(me);
  const auto* source = static_cast<const std::byte*>(in);
  auto* target = static_cast<std::byte*>(out);
  const auto mine = static_cast<size_t>(me);
  const auto copy_own = [&](int32_t after) {
    builder.copy(memory(source), memory(target + layout.offsets[mine] * width), layout.counts[mine],
                 {after});
  };
  // While a link is busy the copy costs nothing; inside a node it does, and costs less once the
  // others have read the block.
  if (group.nodes() > 1) copy_own(-1);
  int32_t last = -1;
  // First to one rank of every other node, then inside the node.
  std::vector<int32_t> entered(static_cast<size_t>(group.size()));
  for (int64_t s = 0; s < segments_of(layout, segment); ++s) {
    std::fill(entered.begin(), entered.end(), -1);
    const Piece own = piece_of(layout, me, s, segment);
    const std::byte* own_data = source + (own.offset - layout.offsets[mine]) * width;
    for (int j = 1; j < group.nodes(); ++j) {
      const int to = (my_node + j) % group.nodes();
      const int from = (my_node - j + group.nodes()) % group.nodes();
      builder.send(group.leader(to, me), memory(own_data), own.count * width);
      for (int owner : group.members(from)) {
        if (group.leader(my_node, owner) != me) continue;
        const Piece piece = piece_of(layout, owner, s, segment);
        entered[static_cast<size_t>(owner)] =
            builder.receive(owner, memory(target + piece.offset * width), piece.count * width);
      }
    }
    const auto& locals = group.members(my_node);
    const int count = static_cast<int>(locals.size());
    for (int k = 1; k < count; ++k) {
      const int to = locals[static_cast<size_t>((group.local(me) + k) % count)];
      const int from = locals[static_cast<size_t>((group.local(me) - k + count) % count)];
      for (int owner = 0; owner < group.size(); ++owner) {
        const Piece piece = piece_of(layout, owner, s, segment);
        const int leader = group.leader(my_node, owner);
        if (leader == me) {
          const std::byte* data = owner == me ? own_data : target + piece.offset * width;
          builder.send(to, memory(data), piece.count * width,
                       {entered[static_cast<size_t>(owner)]});
        } else if (leader == from) {
          last = builder.receive(from, memory(target + piece.offset * width), piece.count * width);
        }
      }
    }
  }
  if (group.nodes() == 1) copy_own(last);
  return builder.take();
}

Program all_to_all(const Group& group, const void* in, const Layout& sends, void* out,
                   const Layout& receives, DType type, int64_t segment_bytes) {
  ProgramBuilder builder(group.size(), type);
  const auto width = static_cast<int64_t>(size_of(type));
  const int64_t segment = std::max<int64_t>(1, segment_bytes / width);
  const int n = group.size(), me = group.rank();
  const auto* source = static_cast<const std::byte*>(in);
  auto* target = static_cast<std::byte*>(out);
  const auto mine = static_cast<size_t>(me);
  int32_t last = -1;
  const int64_t rounds = std::max(segments_of(sends, segment), segments_of(receives, segment));
  for (int64_t s = 0; s < rounds; ++s) {
    for (int k = 1; k < n; ++k) {
      const int to = (me + k) % n, from = (me - k + n) % n;
      const Piece leaving = piece_of(sends, to, s, segment);
      builder.send(to, memory(source + leaving.offset * width), leaving.count * width);
      const Piece coming = piece_of(receives, from, s, segment);
      last = builder.receive(from, memory(target + coming.offset * width), coming.count * width);
    }
  }
  builder.copy(memory(source + sends.offsets[mine] * width),
               memory(target + receives.offsets[mine] * width), sends.counts[mine],
               {group.nodes() == 1 ? last : -1});
  return builder.take();
}

}  // namespace hecate::collectives::dense
