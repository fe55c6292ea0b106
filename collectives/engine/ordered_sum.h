#pragma once
#include <cstdint>
#include <vector>

#include "collectives/engine/program.h"

namespace hecate::collectives {

/// Builds the steps of a sum whose order does not depend on arrival: inputs of one group (a node)
/// by rank first, then the group sums by group, in the accumulator's type.
class OrderedSum {
 public:
  explicit OrderedSum(ProgramBuilder& builder) : builder_(&builder) {}

  /// @param ready the step that delivers the operand, or -1.
  void add(int group, int rank, const Operand& operand, int32_t ready);
  bool empty() const { return inputs_.empty(); }
  /// @return the step that writes `output`, which may be one of the inputs.
  int32_t finish(const Operand& output, int64_t count);

 private:
  struct Input {
    int group = 0, rank = 0;
    Operand operand;
    int32_t ready = -1;
  };

  void add_group_sum(size_t begin, size_t end, int64_t count, std::vector<Operand>& sums,
                     std::vector<int32_t>& ready);

  ProgramBuilder* builder_;
  std::vector<Input> inputs_;
};

}  // namespace hecate::collectives
