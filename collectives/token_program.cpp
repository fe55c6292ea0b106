#include "collectives/token_program.h"

#include <algorithm>

namespace hecate::collectives {
namespace {

// A message between two nodes holds, for each destination of the one and each source of the other
// (both rising), the rows from source to destination.
class HierarchicalBuilder {
 public:
  HierarchicalBuilder(const Group& group, const TokenPlan& plan, const void* in,
                      const dense::Layout& sends, void* out, const dense::Layout& receives,
                      int64_t row_bytes, int64_t segment_bytes)
      : group_(group),
        plan_(plan),
        in_(static_cast<const std::byte*>(in)),
        sends_(sends),
        out_(static_cast<std::byte*>(out)),
        receives_(receives),
        row_bytes_(row_bytes),
        segment_(segment_bytes),
        me_(group.rank()),
        node_(group.node(me_)),
        builder_(group.size(), DType::u8) {}

  Program build() {
    exchange_inside();
    const int nodes = group_.nodes();
    std::vector<Message> leaving(static_cast<size_t>(nodes)), coming(static_cast<size_t>(nodes));
    for (int j = 1; j < nodes; ++j) gather((node_ + j) % nodes, leaving);
    for (int j = 1; j < nodes; ++j) {
      cross_out((node_ + j) % nodes, leaving);
      cross_in((node_ - j + nodes) % nodes, coming);
    }
    for (int j = 1; j < nodes; ++j) spread((node_ - j + nodes) % nodes, coming);
    return builder_.take();
  }

 private:
  struct Message {
    int32_t slot = -1;
    std::vector<int32_t> filled;  // steps after which it is complete
  };

  static size_t index(int i) { return static_cast<size_t>(i); }
  int64_t bytes(int source, int destination) const {
    return plan_.count(source, destination) * row_bytes_;
  }
  int sender(int from_node, int to_node) const {
    const auto& ranks = group_.members(from_node);
    return ranks[index(to_node) % ranks.size()];
  }
  int receiver(int from_node, int to_node) const {
    const auto& ranks = group_.members(to_node);
    return ranks[index(from_node) % ranks.size()];
  }
  int64_t message_bytes(int from_node, int to_node) const {
    int64_t total = 0;
    for (int d : group_.members(to_node))
      for (int s : group_.members(from_node)) total += bytes(s, d);
    return total;
  }
  static Operand part(int32_t slot, int64_t offset) {
    return {.data = nullptr, .slot = slot, .offset = offset, .wide = false};
  }
  Operand outgoing(int destination) const {
    return memory(in_ + sends_.offsets[index(destination)]);
  }
  Operand incoming(int source) const { return memory(out_ + receives_.offsets[index(source)]); }

  void exchange_inside() {
    builder_.copy(outgoing(me_), incoming(me_), bytes(me_, me_));
    const auto& locals = group_.members(node_);
    const int n = static_cast<int>(locals.size());
    for (int k = 1; k < n; ++k) {
      const int to = locals[index((group_.local(me_) + k) % n)];
      const int from = locals[index((group_.local(me_) - k + n) % n)];
      send(to, outgoing(to), bytes(me_, to));
      receive(from, incoming(from), bytes(from, me_));
    }
  }

  // No message is longer than a segment.
  template <class Move>
  void in_segments(const Operand& whole, int64_t length, const Move& move) {
    for (int64_t begin = 0; begin < length; begin += segment_) {
      Operand piece = whole;
      if (piece.slot < 0) {
        piece.data += begin;
      } else {
        piece.offset += begin;
      }
      move(piece, std::min(segment_, length - begin));
    }
  }
  void send(int to, const Operand& rows, int64_t length) {
    in_segments(rows, length,
                [&](const Operand& piece, int64_t n) { builder_.send(to, piece, n); });
  }
  void receive(int from, const Operand& rows, int64_t length) {
    in_segments(rows, length,
                [&](const Operand& piece, int64_t n) { builder_.receive(from, piece, n); });
  }

  void gather(int to_node, std::vector<Message>& messages) {
    const int leader = sender(node_, to_node);
    if (leader != me_) {
      for (int d : group_.members(to_node)) send(leader, outgoing(d), bytes(me_, d));
      return;
    }
    const int64_t total = message_bytes(node_, to_node);
    if (total == 0) return;
    Message& message = messages[index(to_node)];
    message.slot = builder_.add_slot(total);
    // By source, as each of them sends; at the places of the message's order.
    for (int source : group_.members(node_)) {
      int64_t offset = 0;
      for (int d : group_.members(to_node)) {
        for (int s : group_.members(node_)) {
          if (s == source) add_rows(message, source, d, offset);
          offset += bytes(s, d);
        }
      }
    }
  }

  void add_rows(Message& message, int source, int destination, int64_t offset) {
    const int64_t length = bytes(source, destination);
    const Operand place = part(message.slot, offset);
    if (source == me_) {
      const int32_t step = builder_.copy(outgoing(destination), place, length);
      if (step >= 0) message.filled.push_back(step);
      return;
    }
    in_segments(place, length, [&](const Operand& piece, int64_t n) {
      message.filled.push_back(builder_.receive(source, piece, n));
    });
  }

  void cross_out(int to_node, const std::vector<Message>& messages) {
    const Message& message = messages[index(to_node)];
    if (message.slot < 0) return;
    const int64_t total = message_bytes(node_, to_node);
    for (int64_t begin = 0; begin < total; begin += segment_) {
      const int32_t step = builder_.send(receiver(node_, to_node), part(message.slot, begin),
                                         std::min(segment_, total - begin));
      for (int32_t before : message.filled) builder_.order(before, step);
    }
  }

  void cross_in(int from_node, std::vector<Message>& messages) {
    const int64_t total = message_bytes(from_node, node_);
    if (receiver(from_node, node_) != me_ || total == 0) return;
    Message& message = messages[index(from_node)];
    message.slot = builder_.add_slot(total);
    for (int64_t begin = 0; begin < total; begin += segment_)
      message.filled.push_back(builder_.receive(sender(from_node, node_), part(message.slot, begin),
                                                std::min(segment_, total - begin)));
  }

  void spread(int from_node, const std::vector<Message>& messages) {
    const int leader = receiver(from_node, node_);
    if (leader != me_) {
      for (int s : group_.members(from_node)) receive(leader, incoming(s), bytes(s, me_));
      return;
    }
    const Message& message = messages[index(from_node)];
    if (message.slot < 0) return;
    int64_t offset = 0;
    for (int d : group_.members(node_)) {
      for (int s : group_.members(from_node)) {
        const int64_t length = bytes(s, d);
        const Operand place = part(message.slot, offset);
        if (d == me_) {
          order_after(message, offset, length, builder_.copy(place, incoming(s), length));
        } else {
          in_segments(place, length, [&](const Operand& piece, int64_t n) {
            order_after(message, piece.offset, n, builder_.send(d, piece, n));
          });
        }
        offset += length;
      }
    }
  }

  // Only the segments that these bytes lie in have to be there.
  void order_after(const Message& message, int64_t offset, int64_t length, int32_t step) {
    for (int64_t k = offset / segment_; length > 0 && k <= (offset + length - 1) / segment_; ++k)
      builder_.order(message.filled[static_cast<size_t>(k)], step);
  }

  const Group& group_;
  const TokenPlan& plan_;
  const std::byte* in_;
  const dense::Layout& sends_;
  std::byte* out_;
  const dense::Layout& receives_;
  int64_t row_bytes_, segment_;
  int me_, node_;
  ProgramBuilder builder_;
};

}  // namespace

Program hierarchical_program(const Group& group, const TokenPlan& plan, const void* in,
                             const dense::Layout& sends, void* out, const dense::Layout& receives,
                             int64_t row_bytes, int64_t segment_bytes) {
  return HierarchicalBuilder(group, plan, in, sends, out, receives, row_bytes, segment_bytes)
      .build();
}

}  // namespace hecate::collectives
