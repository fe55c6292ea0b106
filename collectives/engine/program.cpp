#include "collectives/engine/program.h"

#include <utility>

namespace hecate::collectives {

ProgramBuilder::ProgramBuilder(int ranks, DType type, ReduceOp op)
    : sent_(static_cast<size_t>(ranks)), received_(static_cast<size_t>(ranks)) {
  program_.type = type;
  program_.op = op;
}

int32_t ProgramBuilder::add_slot(int64_t bytes) {
  program_.slot_bytes.push_back(bytes);
  return static_cast<int32_t>(program_.slot_bytes.size()) - 1;
}

int64_t ProgramBuilder::bytes_of(const Operand& operand, int64_t count) const {
  const DType type = operand.wide ? wide_type(program_.type) : program_.type;
  return count * static_cast<int64_t>(size_of(type));
}

Operand ProgramBuilder::slot(int64_t elements, bool wide) {
  Operand operand{.data = nullptr, .slot = -1, .offset = 0, .wide = wide};
  operand.slot = add_slot(bytes_of(operand, elements));
  return operand;
}

int32_t ProgramBuilder::append(Step step, std::span<const int32_t> after) {
  const auto number = static_cast<int32_t>(program_.steps.size());
  program_.steps.push_back(step);
  for (int32_t before : after) order(before, number);
  return number;
}

void ProgramBuilder::order(int32_t before, int32_t after) {
  if (before >= 0 && after >= 0) program_.edges.push_back({.before = before, .after = after});
}

int32_t ProgramBuilder::transfer(StepKind kind, int peer, const Operand& operand, int64_t bytes,
                                 std::initializer_list<int32_t> after) {
  auto& channel = kind == StepKind::send ? sent_ : received_;
  Step step;
  step.kind = kind;
  step.peer = peer;
  step.index = channel[static_cast<size_t>(peer)]++;
  step.bytes = bytes;
  step.output = operand;
  return append(step, {after.begin(), after.size()});
}

int32_t ProgramBuilder::send(int peer, const Operand& from, int64_t bytes,
                             std::initializer_list<int32_t> after) {
  return bytes == 0 ? -1 : transfer(StepKind::send, peer, from, bytes, after);
}

int32_t ProgramBuilder::receive(int peer, const Operand& to, int64_t bytes,
                                std::initializer_list<int32_t> after) {
  return bytes == 0 ? -1 : transfer(StepKind::receive, peer, to, bytes, after);
}

int32_t ProgramBuilder::signal(int peer, std::initializer_list<int32_t> after) {
  return transfer(StepKind::send, peer, {}, 0, after);
}

int32_t ProgramBuilder::await_signal(int peer, std::initializer_list<int32_t> after) {
  return transfer(StepKind::receive, peer, {}, 0, after);
}

int32_t ProgramBuilder::reduce(std::span<const Operand> inputs, const Operand& output,
                               int64_t count, std::span<const int32_t> after) {
  if (count == 0) return -1;
  Step step;
  step.kind = StepKind::reduce;
  step.count = count;
  step.output = output;
  step.inputs = static_cast<int32_t>(program_.operands.size());
  step.input_count = static_cast<int32_t>(inputs.size());
  program_.operands.insert(program_.operands.end(), inputs.begin(), inputs.end());
  return append(step, after);
}

int32_t ProgramBuilder::copy(const Operand& from, const Operand& to, int64_t count,
                             std::initializer_list<int32_t> after) {
  return reduce({&from, 1}, to, count, {after.begin(), after.size()});
}

}  // namespace hecate::collectives
