#include "collectives/nccl/nccl_communicator.h"
#include "collectives/nccl/reduce.h"

/// Planned collectives on NCCL: rounds of group calls and local sums between them.
namespace hecate::collectives::nccl {
namespace {

// Transfers of a rank in one round: so few that none waits inside NCCL for another's place.
constexpr int kMostTransfers = 16;

}  // namespace

Work NcclCommunicator::reduce_in_order(const Call& call, const dense::Reduction& reduction,
                                       const dense::Layout& layout, dense::Destination destination,
                                       int root) {
  const auto program = [&](int rank_of_program) {
    std::byte elsewhere{};  // stands for another rank's memory
    dense::Reduction each = reduction;
    each.segment_bytes = segment_bytes();
    if (rank_of_program != rank()) each.in = each.out = &elsewhere;
    return dense::reduce_blocks(Group(rank_of_program, nodes()), each, layout, destination, root);
  };
  return start_program(program, call);
}

Work NcclCommunicator::run(const ProgramOf& program, const char* operation, uint64_t agreement) {
  return start_program(program,
                       {.name = operation, .agreement = {static_cast<int64_t>(agreement)}});
}

std::vector<NcclCommunicator::Buffer> NcclCommunicator::buffers_of(const Program& program) const {
  std::vector<Buffer> buffers;
  const auto add = [&](const Operand& operand, int64_t bytes, bool written) {
    if (operand.slot < 0) buffers.push_back({operand.data, bytes, !written, written});
  };
  for (const Step& step : program.steps) {
    if (step.kind != StepKind::reduce) {
      add(step.output, step.bytes, step.kind == StepKind::receive);
      continue;
    }
    const auto bytes_of = [&](const Operand& operand) {
      return step.count *
             static_cast<int64_t>(size_of(operand.wide ? wide_type(program.type) : program.type));
    };
    for (int32_t i = 0; i < step.input_count; ++i) {
      const Operand& input = program.operands[static_cast<size_t>(step.inputs + i)];
      add(input, bytes_of(input), /*written=*/false);
    }
    add(step.output, bytes_of(step.output), /*written=*/true);
  }
  return buffers;
}

Work NcclCommunicator::start_program(const ProgramOf& program, const Call& call) {
  std::vector<Program> programs;
  for (int r = 0; r < size(); ++r) programs.push_back(program(r));
  const Sequence sequence = plan_sequence(programs, rank(), kMostTransfers);
  const Program& mine = programs[static_cast<size_t>(rank())];
  return start(call, buffers_of(mine), [&](Channel& channel, const Mirror& mirror) {
    carry_out(mine, sequence, channel, mirror, call.name);
  });
}

void NcclCommunicator::carry_out(const Program& program, const Sequence& sequence, Channel& channel,
                                 const Mirror& mirror, const char* name) const {
  const StreamMemory scratch(sequence.scratch_bytes, channel.stream());
  const auto resolve = [&](const Operand& operand) {
    if (operand.slot < 0) return mirror.at(operand.data);
    return scratch.data() + sequence.slot_offsets[static_cast<size_t>(operand.slot)] +
           operand.offset;
  };
  std::vector<Source> inputs;
  for (const Sequence::Round& round : sequence.rounds) {
    for (int32_t number : round.locals) {
      const Step& step = program.steps[static_cast<size_t>(number)];
      inputs.clear();
      for (int32_t i = 0; i < step.input_count; ++i) {
        const Operand& input = program.operands[static_cast<size_t>(step.inputs + i)];
        inputs.push_back({.data = resolve(input), .wide = input.wide});
      }
      reduce_on_device(channel.stream(), program.type, program.op, inputs, resolve(step.output),
                       step.output.wide, step.count);
    }
    if (round.transfers.empty()) continue;
    channel.group(name, [&](ncclComm_t comm, cudaStream_t stream) {
      for (int32_t number : round.transfers) {
        const Step& step = program.steps[static_cast<size_t>(number)];
        if (step.kind == StepKind::send) {
          send(resolve(step.output), step.bytes, step.peer, comm, stream);
          count_sent(name, step.peer, step.bytes);
        } else {
          receive(resolve(step.output), step.bytes, step.peer, comm, stream);
          count_received(name, step.peer, step.bytes);
        }
      }
    });
  }
}

}  // namespace hecate::collectives::nccl
