#include <algorithm>

#include "collectives/dense/algorithms.h"
#include "collectives/engine/ordered_sum.h"

namespace hecate::collectives::dense {
namespace {

// One rank's part of reducing every block at its owner and passing the result on.
class BlockReducer {
 public:
  BlockReducer(const Group& group, const Reduction& reduction, const Layout& layout,
               Destination destination, int root)
      : group_(group),
        reduction_(reduction),
        layout_(layout),
        destination_(destination),
        root_(root),
        me_(group.rank()),
        my_node_(group.node(me_)),
        width_(static_cast<int64_t>(size_of(reduction.type))),
        builder_(group.size(), reduction.type, reduction.op) {}

  Program build() {
    const int64_t segment = std::max<int64_t>(1, reduction_.segment_bytes / width_);
    const int64_t longest = *std::max_element(layout_.counts.begin(), layout_.counts.end());
    for (int64_t begin = 0; begin < longest; begin += segment) {
      begin_ = begin;
      segment_ = segment;
      result_ = Operand{};
      reduced_ = -1;
      sent_.assign(static_cast<size_t>(group_.size()), -1);
      sums_.assign(static_cast<size_t>(group_.size()), OrderedSum(builder_));
      send_inputs_to_leaders();
      send_node_sums_to_owners();
      if (destination_ == Destination::everybody) share();
      if (destination_ == Destination::root) collect();
    }
    return builder_.take();
  }

 private:
  int64_t count(int owner) const {
    const int64_t left = layout_.counts[static_cast<size_t>(owner)] - begin_;
    return std::clamp<int64_t>(left, 0, segment_);
  }
  int64_t offset(int owner) const {
    return (layout_.offsets[static_cast<size_t>(owner)] + begin_) * width_;
  }
  Operand input(int owner) const {
    return memory(static_cast<const std::byte*>(reduction_.in) + offset(owner));
  }
  // Of a whole-size output.
  Operand output(int owner) const {
    return memory(static_cast<std::byte*>(reduction_.out) + offset(owner));
  }
  bool leads(int owner) const { return group_.leader(my_node_, owner) == me_; }

  void send_inputs_to_leaders() {
    for (int owner = 0; owner < group_.size(); ++owner)
      if (leads(owner)) sums_[index(owner)].add(my_node_, me_, input(owner), -1);
    const auto& locals = group_.members(my_node_);
    const int n = static_cast<int>(locals.size());
    for (int k = 1; k < n; ++k) {
      const int to = locals[index((group_.local(me_) + k) % n)];
      const int from = locals[index((group_.local(me_) - k + n) % n)];
      for (int owner = 0; owner < group_.size(); ++owner) {
        const int64_t elements = count(owner);
        if (group_.leader(my_node_, owner) == to)
          sent_[index(owner)] = builder_.send(to, input(owner), elements * width_);
        if (!leads(owner) || elements == 0) continue;
        const Operand slot = builder_.slot(elements, /*wide=*/false);
        const int32_t got = builder_.receive(from, slot, elements * width_);
        sums_[index(owner)].add(my_node_, from, slot, got);
      }
    }
  }

  void send_node_sums_to_owners() {
    for (int j = 1; j < group_.nodes(); ++j) {
      const int to = (my_node_ + j) % group_.nodes();
      const int from = (my_node_ - j + group_.nodes()) % group_.nodes();
      for (int owner : group_.members(to))
        if (leads(owner)) send_node_sum(owner);
      const int leader = group_.leader(from, me_);
      const int64_t elements = count(me_);
      const bool wide = group_.members(from).size() > 1;
      if (elements == 0) continue;
      const Operand slot = builder_.slot(elements, wide);
      const int32_t got = builder_.receive(leader, slot, builder_.bytes_of(slot, elements));
      sums_[index(me_)].add(from, leader, slot, got);
    }
    finish_own_block();
  }

  void send_node_sum(int owner) {
    const int64_t elements = count(owner);
    if (elements == 0) return;
    if (group_.members(my_node_).size() == 1) {
      sent_[index(owner)] = builder_.send(owner, input(owner), elements * width_);
      return;
    }
    const Operand sum = builder_.slot(elements, /*wide=*/true);
    const int32_t summed = sums_[index(owner)].finish(sum, elements);
    builder_.send(owner, sum, builder_.bytes_of(sum, elements), {summed});
    sent_[index(owner)] = summed;
  }

  void finish_own_block() {
    const int64_t elements = count(me_);
    if (elements == 0) return;
    if (destination_ == Destination::owner) {
      result_ = memory(static_cast<std::byte*>(reduction_.out) + begin_ * width_);
    } else if (destination_ == Destination::everybody || me_ == root_) {
      result_ = output(me_);
    } else {
      result_ = builder_.slot(elements, /*wide=*/false);
    }
    reduced_ = sums_[index(me_)].finish(result_, elements);
  }

  // A result may land on an input in place: only after that input has left.
  int32_t receive_result(int from, int owner) {
    return builder_.receive(from, output(owner), count(owner) * width_, {sent_[index(owner)]});
  }

  void share() {
    std::vector<int32_t> entered(index(group_.size()), -1);
    for (int j = 1; j < group_.nodes(); ++j) {
      const int to = (my_node_ + j) % group_.nodes();
      const int from = (my_node_ - j + group_.nodes()) % group_.nodes();
      builder_.send(group_.leader(to, me_), result_, count(me_) * width_, {reduced_});
      for (int owner : group_.members(from))
        if (leads(owner)) entered[index(owner)] = receive_result(owner, owner);
    }
    entered[index(me_)] = reduced_;
    const auto& locals = group_.members(my_node_);
    const int n = static_cast<int>(locals.size());
    for (int k = 1; k < n; ++k) {
      const int to = locals[index((group_.local(me_) + k) % n)];
      const int from = locals[index((group_.local(me_) - k + n) % n)];
      for (int owner = 0; owner < group_.size(); ++owner) {
        const int leader = group_.leader(my_node_, owner);
        if (leader == me_)
          builder_.send(to, output(owner), count(owner) * width_, {entered[index(owner)]});
        if (leader == from) receive_result(from, owner);
      }
    }
  }

  void collect() {
    if (me_ != root_) {
      builder_.send(root_, result_, count(me_) * width_, {reduced_});
      return;
    }
    for (int k = 1; k < group_.size(); ++k) {
      const int owner = (root_ + k) % group_.size();
      receive_result(owner, owner);
    }
  }

  static size_t index(int i) { return static_cast<size_t>(i); }

  const Group& group_;
  const Reduction& reduction_;
  const Layout& layout_;
  Destination destination_;
  int root_, me_, my_node_;
  int64_t width_;
  ProgramBuilder builder_;
  int64_t begin_ = 0, segment_ = 0;
  Operand result_;
  int32_t reduced_ = -1;
  std::vector<int32_t> sent_;     // per owner: the step after which my input may be overwritten
  std::vector<OrderedSum> sums_;  // per owner that I lead for
};

}  // namespace

Program reduce_blocks(const Group& group, const Reduction& reduction, const Layout& layout,
                      Destination destination, int root) {
  return BlockReducer(group, reduction, layout, destination, root).build();
}

Program reduce_at_once(const Group& group, const Reduction& reduction, int64_t count) {
  ProgramBuilder builder(group.size(), reduction.type, reduction.op);
  const int n = group.size(), me = group.rank();
  OrderedSum sum(builder);
  std::vector<int32_t> sent;
  const int64_t bytes = count * static_cast<int64_t>(size_of(reduction.type));
  sum.add(group.node(me), me, memory(reduction.in), -1);
  for (int k = 1; k < n; ++k) {
    const int from = (me - k + n) % n;
    sent.push_back(builder.send((me + k) % n, memory(reduction.in), bytes));
    const Operand slot = builder.slot(count, /*wide=*/false);
    sum.add(group.node(from), from, slot, builder.receive(from, slot, bytes));
  }
  const int32_t reduced = sum.finish(memory(reduction.out), count);
  for (int32_t step : sent) builder.order(step, reduced);
  return builder.take();
}

}  // namespace hecate::collectives::dense
