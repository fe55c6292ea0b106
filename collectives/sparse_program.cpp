#include "collectives/sparse_program.h"

#include <algorithm>

#include "collectives/engine/ordered_sum.h"
#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

// The transfers of one part that a rank takes part in.
struct PartView {
  int32_t chunk = 0;
  int64_t offset = 0, bytes = 0;
  std::vector<const Transfer*> transfers;
};

std::vector<PartView> parts_with(const SparseSchedule& schedule, int rank) {
  std::vector<PartView> parts;
  int32_t current = -1;
  for (const Transfer& transfer : schedule.transfers) {
    if (transfer.source != rank && transfer.destination != rank) continue;
    if (transfer.part != current) {
      current = transfer.part;
      parts.push_back({.chunk = transfer.chunk,
                       .offset = transfer.offset,
                       .bytes = transfer.bytes,
                       .transfers = {}});
    }
    parts.back().transfers.push_back(&transfer);
  }
  return parts;
}

// A whole number of elements of every type.
int64_t usable_segment(int64_t segment_bytes) {
  return std::max<int64_t>(64, segment_bytes / 64 * 64);
}

class GatherBuilder {
 public:
  GatherBuilder(int rank, int ranks, std::span<void* const> chunks, bool narrowed, DType wire)
      : rank_(rank),
        chunks_(chunks),
        narrowed_(narrowed),
        width_(narrowed ? static_cast<int64_t>(size_of(wire)) : 1),
        builder_(ranks, narrowed ? wire : DType::u8) {}

  void add(const PartView& part, int64_t begin, int64_t bytes) {
    const int64_t count = bytes / width_;
    const auto chunk = static_cast<size_t>(part.chunk);
    // Offsets count wire bytes; what is stored may be wider.
    const int64_t stored_width = narrowed_ ? static_cast<int64_t>(sizeof(float)) : 1;
    Operand stored = memory(static_cast<std::byte*>(chunks_[chunk]) +
                            (part.offset + begin) / width_ * stored_width);
    stored.wide = narrowed_;
    Operand travelling = stored;
    if (narrowed_) travelling = builder_.slot(count, /*wide=*/false);
    int32_t here = -1;
    bool converted = false;
    for (const Transfer* transfer : part.transfers) {
      if (transfer->destination == rank_) {
        here = builder_.receive(transfer->source, travelling, bytes);
        if (narrowed_) builder_.copy(travelling, stored, count, {here});
        converted = true;
      } else {
        if (narrowed_ && !converted) here = builder_.copy(stored, travelling, count);
        converted = true;
        builder_.send(transfer->destination, travelling, bytes, {here});
      }
    }
  }

  Program take() { return builder_.take(); }

 private:
  int rank_;
  std::span<void* const> chunks_;
  bool narrowed_;
  int64_t width_;
  ProgramBuilder builder_;
};

class ReduceBuilder {
 public:
  ReduceBuilder(const SparseSchedule& schedule, int rank, int ranks,
                std::span<const void* const> inputs, std::span<void* const> outputs, DType type)
      : schedule_(schedule),
        nodes_(1 + *std::max_element(schedule.node_of.begin(), schedule.node_of.end())),
        rank_(rank),
        inputs_(inputs),
        outputs_(outputs),
        width_(static_cast<int64_t>(size_of(type))),
        builder_(ranks, type) {}

  void add(const PartView& part, int64_t begin, int64_t bytes) {
    const int64_t count = bytes / width_;
    const auto chunk = static_cast<size_t>(part.chunk);
    const int owner = schedule_.owners[chunk];
    const Operand own = memory(static_cast<const std::byte*>(inputs_[chunk]) + part.offset + begin);
    OrderedSum sum(builder_);
    sum.add(position(rank_, owner), rank_, own, -1);
    bool alone = true;
    for (const Transfer* transfer : part.transfers) {
      if (transfer->destination == rank_) {
        const Operand slot = builder_.slot(count, transfer->partial);
        const int32_t got =
            builder_.receive(transfer->source, slot, builder_.bytes_of(slot, count));
        sum.add(position(transfer->source, owner), transfer->source, slot, got);
        alone = false;
      } else if (alone) {
        builder_.send(transfer->destination, own, bytes);
      } else {
        const Operand total = builder_.slot(count, /*wide=*/true);
        const int32_t summed = sum.finish(total, count);
        builder_.send(transfer->destination, total, builder_.bytes_of(total, count), {summed});
      }
    }
    if (owner == rank_)
      sum.finish(memory(static_cast<std::byte*>(outputs_[chunk]) + part.offset + begin), count);
  }

  /// An owner's chunk that nobody else holds is its own sum. In pieces, after all transfers: a long
  /// copy would keep the communication thread from them.
  void copy_unshared(const std::vector<PartView>& parts, int64_t segment) {
    std::vector<bool> shared(inputs_.size());
    for (const PartView& part : parts) shared[static_cast<size_t>(part.chunk)] = true;
    for (size_t chunk = 0; chunk < inputs_.size(); ++chunk) {
      const bool mine = schedule_.owners[chunk] == rank_;
      if (!mine || shared[chunk] || inputs_[chunk] == outputs_[chunk]) continue;
      const auto* from = static_cast<const std::byte*>(inputs_[chunk]);
      auto* to = static_cast<std::byte*>(outputs_[chunk]);
      const int64_t total = schedule_.chunk_bytes[chunk];
      for (int64_t begin = 0; begin < total; begin += segment)
        builder_.copy(memory(from + begin), memory(to + begin),
                      std::min(segment, total - begin) / width_);
    }
  }

  Program take() { return builder_.take(); }

 private:
  int position(int rank, int owner) const {
    const auto& node_of = schedule_.node_of;
    return sum_position(node_of[static_cast<size_t>(rank)], node_of[static_cast<size_t>(owner)],
                        nodes_);
  }

  const SparseSchedule& schedule_;
  int nodes_, rank_;
  std::span<const void* const> inputs_;
  std::span<void* const> outputs_;
  int64_t width_;
  ProgramBuilder builder_;
};

// Segments of all parts, each part's spread evenly over the whole: then all of them end together,
// and none waits behind another's. The same order on all ranks, since it follows from the parts.
template <class Builder>
void add_transfers(Builder& builder, const std::vector<PartView>& parts, int64_t segment) {
  struct Piece {
    double place;
    const PartView* part;
    int64_t begin;
  };
  std::vector<Piece> pieces;
  for (const PartView& part : parts) {
    for (int64_t begin = 0; begin < part.bytes; begin += segment)
      pieces.push_back({.place = static_cast<double>(begin) / static_cast<double>(part.bytes),
                        .part = &part,
                        .begin = begin});
  }
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Piece& a, const Piece& b) { return a.place < b.place; });
  for (const Piece& piece : pieces)
    builder.add(*piece.part, piece.begin, std::min(segment, piece.part->bytes - piece.begin));
}

LinkShares shares_of(const SparseSchedule& schedule, int rank, int ranks) {
  const auto node = [&](int r) {
    return static_cast<size_t>(schedule.node_of[static_cast<size_t>(r)]);
  };
  std::vector<double> enters(schedule.node_of.size());
  LinkShares shares{.out = 0, .to = std::vector<double>(static_cast<size_t>(ranks))};
  double leaves = 0;
  for (const Transfer& transfer : schedule.transfers) {
    if (node(transfer.source) == node(transfer.destination)) continue;
    const auto bytes = static_cast<double>(transfer.bytes);
    enters[node(transfer.destination)] += bytes;
    if (node(transfer.source) == node(rank)) leaves += bytes;
    if (transfer.source != rank) continue;
    shares.out += bytes;
    shares.to[static_cast<size_t>(transfer.destination)] += bytes;
  }
  if (leaves > 0) shares.out /= leaves;
  for (int r = 0; r < ranks; ++r)
    if (enters[node(r)] > 0) shares.to[static_cast<size_t>(r)] /= enters[node(r)];
  return shares;
}

void check_memory(const SparseSchedule& schedule, const std::vector<PartView>& parts,
                  std::span<const void* const> chunks, int64_t width) {
  HECATE_CHECK(chunks.size() == schedule.chunk_bytes.size(), "sparse collective: ", chunks.size(),
               " buffers for ", schedule.chunk_bytes.size(), " chunks");
  for (int64_t bytes : schedule.chunk_bytes)
    HECATE_CHECK(bytes % width == 0, "sparse collective: a chunk of ", bytes,
                 " bytes, elements of ", width);
  for (const PartView& part : parts)
    HECATE_CHECK(chunks[static_cast<size_t>(part.chunk)] != nullptr,
                 "sparse collective: this rank holds chunk ", part.chunk, " but gave no buffer");
}

}  // namespace

Program gather_program(const SparseSchedule& schedule, int rank, int ranks,
                       std::span<void* const> chunks, DType stored, DType wire,
                       int64_t segment_bytes) {
  const bool narrowed = stored != wire;
  HECATE_CHECK(!narrowed || (stored == DType::f32 && wire == DType::bf16),
               "sparse gather: stored as ", name_of(stored), ", sent as ", name_of(wire));
  const std::vector<PartView> parts = parts_with(schedule, rank);
  const std::vector<const void*> readable(chunks.begin(), chunks.end());
  check_memory(schedule, parts, readable, static_cast<int64_t>(size_of(wire)));
  GatherBuilder builder(rank, ranks, chunks, narrowed, wire);
  add_transfers(builder, parts, usable_segment(segment_bytes));
  Program program = builder.take();
  program.shares = shares_of(schedule, rank, ranks);
  return program;
}

Program reduce_program(const SparseSchedule& schedule, int rank, int ranks,
                       std::span<const void* const> inputs, std::span<void* const> outputs,
                       DType type, int64_t segment_bytes) {
  const std::vector<PartView> parts = parts_with(schedule, rank);
  check_memory(schedule, parts, inputs, static_cast<int64_t>(size_of(type)));
  HECATE_CHECK(outputs.size() == inputs.size(), "sparse reduce: ", outputs.size(), " outputs, ",
               inputs.size(), " inputs");
  for (size_t chunk = 0; chunk < outputs.size(); ++chunk)
    HECATE_CHECK(schedule.owners[chunk] != rank || schedule.chunk_bytes[chunk] == 0 ||
                     (inputs[chunk] != nullptr && outputs[chunk] != nullptr),
                 "sparse reduce: this rank owns chunk ", chunk, " but gave no buffer");
  ReduceBuilder builder(schedule, rank, ranks, inputs, outputs, type);
  const int64_t segment = usable_segment(segment_bytes);
  add_transfers(builder, parts, segment);
  builder.copy_unshared(parts, segment);
  Program program = builder.take();
  program.shares = shares_of(schedule, rank, ranks);
  return program;
}

}  // namespace hecate::collectives
