#include "collectives/engine/ordered_sum.h"

#include <algorithm>

namespace hecate::collectives {

void OrderedSum::add(int group, int rank, const Operand& operand, int32_t ready) {
  inputs_.push_back({.group = group, .rank = rank, .operand = operand, .ready = ready});
}

int32_t OrderedSum::finish(const Operand& output, int64_t count) {
  std::sort(inputs_.begin(), inputs_.end(), [](const Input& a, const Input& b) {
    return a.group != b.group ? a.group < b.group : a.rank < b.rank;
  });
  std::vector<Operand> sums;
  std::vector<int32_t> ready;
  for (size_t begin = 0, end = 0; begin < inputs_.size(); begin = end) {
    while (end < inputs_.size() && inputs_[end].group == inputs_[begin].group) ++end;
    const bool only_group = begin == 0 && end == inputs_.size();
    if (end - begin == 1 || only_group) {
      for (size_t i = begin; i < end; ++i) {
        sums.push_back(inputs_[i].operand);
        ready.push_back(inputs_[i].ready);
      }
    } else {
      add_group_sum(begin, end, count, sums, ready);
    }
  }
  return builder_->reduce(sums, output, count, ready);
}

void OrderedSum::add_group_sum(size_t begin, size_t end, int64_t count, std::vector<Operand>& sums,
                               std::vector<int32_t>& ready) {
  std::vector<Operand> operands;
  std::vector<int32_t> after;
  for (size_t i = begin; i < end; ++i) {
    operands.push_back(inputs_[i].operand);
    after.push_back(inputs_[i].ready);
  }
  const Operand sum = builder_->slot(count, /*wide=*/true);
  ready.push_back(builder_->reduce(operands, sum, count, after));
  sums.push_back(sum);
}

}  // namespace hecate::collectives
