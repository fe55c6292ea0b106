#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "collectives/reduce_op.h"
#include "runtime/tensor/dtype.h"

/// A collective as data: one rank's part of it, a graph of transfers and local steps that the
/// engine carries out. Algorithms build programs; they never talk to a transport.
namespace hecate::collectives {

/// Where a step reads or writes: the caller's memory, or a slot (scratch that lives from its first
/// use to its last).
struct Operand {
  std::byte* data = nullptr;
  int32_t slot = -1;
  int64_t offset = 0;  ///< bytes from the start of the slot
  bool wide = false;   ///< elements are of the accumulator's type (f32 for bf16)
};
inline Operand memory(const void* data) {
  return {.data = static_cast<std::byte*>(const_cast<void*>(data)),
          .slot = -1,
          .offset = 0,
          .wide = false};
}

enum class StepKind : uint8_t {
  send,
  receive,
  reduce,  ///< output = ((input0 op input1) op input2) ...; one input: a copy that converts
};

struct Step {
  StepKind kind{};
  int32_t peer = -1;                    ///< rank in the group; transfers only
  uint32_t index = 0;                   ///< position on the channel between the two ranks
  int64_t bytes = 0;                    ///< transfers
  int64_t count = 0;                    ///< elements, reduce only
  Operand output;                       ///< receive, reduce; for send: what is sent
  int32_t inputs = 0, input_count = 0;  ///< reduce: range of Program::operands
};

/// How much of the links between nodes a rank's part needs, as shares of all that cross them. What
/// is kept on its way follows them, so that all streams through a link end together. Empty: alike.
struct LinkShares {
  double out = 0;          ///< of the bytes that leave this rank's node: those this rank sends
  std::vector<double> to;  ///< per rank: of those that enter its node, those sent by this one to it
};

/// Steps are in one order that all ranks share: if a transfer precedes another on any rank, it does
/// so on every rank that has both, and no step depends on a later one. This is what makes bounded
/// windows of transfers free of deadlock.
struct Program {
  DType type = DType::u8;
  ReduceOp op = ReduceOp::sum;
  std::vector<Step> steps;
  std::vector<Operand> operands;
  std::vector<int64_t> slot_bytes;
  struct Edge {
    int32_t before, after;
  };
  std::vector<Edge> edges;
  LinkShares shares;
};

/// The accumulator's type: f32 for bf16, else the type itself.
constexpr DType wide_type(DType type) {
  return type == DType::bf16 ? DType::f32 : type;
}

class ProgramBuilder {
 public:
  ProgramBuilder(int ranks, DType type, ReduceOp op = ReduceOp::sum);

  int32_t add_slot(int64_t bytes);
  Operand slot(int64_t elements, bool wide);
  int64_t bytes_of(const Operand& operand, int64_t count) const;

  /// Each returns the step's number. Negative numbers in `after` are ignored. Empty transfers are
  /// dropped on both sides: -1.
  int32_t send(int peer, const Operand& from, int64_t bytes,
               std::initializer_list<int32_t> after = {});
  int32_t receive(int peer, const Operand& to, int64_t bytes,
                  std::initializer_list<int32_t> after = {});
  int32_t reduce(std::span<const Operand> inputs, const Operand& output, int64_t count,
                 std::span<const int32_t> after);
  int32_t copy(const Operand& from, const Operand& to, int64_t count,
               std::initializer_list<int32_t> after = {});
  void order(int32_t before, int32_t after);
  /// A transfer without bytes that must happen (a barrier's).
  int32_t signal(int peer, std::initializer_list<int32_t> after = {});
  int32_t await_signal(int peer, std::initializer_list<int32_t> after = {});

  Program take() { return std::move(program_); }

 private:
  int32_t transfer(StepKind kind, int peer, const Operand& operand, int64_t bytes,
                   std::initializer_list<int32_t> after);
  int32_t append(Step step, std::span<const int32_t> after);

  Program program_;
  std::vector<uint32_t> sent_, received_;  // per peer: transfers so far
};

}  // namespace hecate::collectives
