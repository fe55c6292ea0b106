#include "collectives/nccl/sequence.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "runtime/base/error.h"

namespace hecate::collectives::nccl {
namespace {

constexpr int32_t kNever = std::numeric_limits<int32_t>::max();
constexpr int64_t kAlignment = 256;  // bytes; what the device's allocator gives

// The successors of every step, and how many predecessors are not over.
struct Graph {
  explicit Graph(const Program& program)
      : first(program.steps.size() + 1), missing(program.steps.size()) {
    for (const auto& edge : program.edges) {
      ++first[static_cast<size_t>(edge.before) + 1];
      ++missing[static_cast<size_t>(edge.after)];
    }
    for (size_t i = 0; i + 1 < first.size(); ++i) first[i + 1] += first[i];
    after.resize(program.edges.size());
    std::vector<int32_t> cursor(first.begin(), first.end() - 1);
    for (const auto& edge : program.edges)
      after[static_cast<size_t>(cursor[static_cast<size_t>(edge.before)]++)] = edge.after;
  }
  std::span<const int32_t> successors(int32_t step) const {
    const auto i = static_cast<size_t>(step);
    return {after.data() + first[i], static_cast<size_t>(first[i + 1] - first[i])};
  }

  std::vector<int32_t> first, after, missing;
};

// Finds every transfer's round, on all ranks at once.
class RoundPlanner {
 public:
  RoundPlanner(std::span<const Program> programs, int most)
      : programs_(programs), most_(most), counts_(programs.size()) {
    for (const Program& program : programs) {
      graphs_.emplace_back(program);
      round_of_.emplace_back(program.steps.size(), kNever);
    }
    find_channels();
    for (size_t rank = 0; rank < programs.size(); ++rank) finish_free_locals(rank);
  }

  void run() {
    for (int32_t round = 0; left_ > 0; ++round) {
      std::vector<Transfer> chosen;
      std::fill(counts_.begin(), counts_.end(), 0);
      for (Channel& channel : channels_) {
        if (channel.next == channel.transfers.size()) continue;
        const Transfer& transfer = channel.transfers[channel.next];
        if (!may_go(transfer)) continue;
        chosen.push_back(transfer);
        ++counts_[transfer.source], ++counts_[transfer.destination];
        ++channel.next;
      }
      HECATE_CHECK(!chosen.empty(), "programs of a collective wait for each other");
      for (const Transfer& transfer : chosen) {
        finish(transfer.source, transfer.send, round);
        finish(transfer.destination, transfer.receive, round);
      }
      left_ -= chosen.size();
    }
  }

  /// Per step of a rank; transfers only.
  const std::vector<int32_t>& rounds_of(int rank) const {
    return round_of_[static_cast<size_t>(rank)];
  }

 private:
  struct Transfer {
    size_t source, destination;
    int32_t send, receive;  // steps
  };
  struct Channel {
    std::vector<Transfer> transfers;
    size_t next = 0;
  };

  void find_channels() {
    std::map<std::pair<size_t, size_t>, std::pair<std::vector<int32_t>, std::vector<int32_t>>> ends;
    for (size_t rank = 0; rank < programs_.size(); ++rank) {
      for (size_t i = 0; i < programs_[rank].steps.size(); ++i) {
        const Step& step = programs_[rank].steps[i];
        if (step.peer < 0) continue;
        const auto peer = static_cast<size_t>(step.peer);
        if (step.kind == StepKind::send) {
          ends[{rank, peer}].first.push_back(static_cast<int32_t>(i));
        } else {
          ends[{peer, rank}].second.push_back(static_cast<int32_t>(i));
        }
      }
    }
    for (const auto& [pair, steps] : ends) {
      const auto& [sends, receives] = steps;
      HECATE_CHECK(sends.size() == receives.size(), "programs of a collective: rank ", pair.first,
                   " sends ", sends.size(), " messages to rank ", pair.second, ", which expects ",
                   receives.size());
      Channel& channel = channels_.emplace_back();
      for (size_t i = 0; i < sends.size(); ++i) {
        channel.transfers.push_back({pair.first, pair.second, sends[i], receives[i]});
        check_bytes(channel.transfers.back());
      }
      left_ += sends.size();
    }
  }

  void check_bytes(const Transfer& transfer) const {
    const int64_t sent = step(transfer.source, transfer.send).bytes;
    const int64_t expected = step(transfer.destination, transfer.receive).bytes;
    HECATE_CHECK(sent == expected, "programs of a collective: rank ", transfer.source, " sends ",
                 sent, " bytes to rank ", transfer.destination, ", which expects ", expected);
  }

  const Step& step(size_t rank, int32_t number) const {
    return programs_[rank].steps[static_cast<size_t>(number)];
  }
  int32_t missing(size_t rank, int32_t number) const {
    return graphs_[rank].missing[static_cast<size_t>(number)];
  }
  bool may_go(const Transfer& transfer) const {
    return counts_[transfer.source] < most_ && counts_[transfer.destination] < most_ &&
           missing(transfer.source, transfer.send) == 0 &&
           missing(transfer.destination, transfer.receive) == 0;
  }

  void finish(size_t rank, int32_t number, int32_t round) {
    round_of_[rank][static_cast<size_t>(number)] = round;
    release_successors(rank, number);
  }
  void release_successors(size_t rank, int32_t number) {
    for (int32_t next : graphs_[rank].successors(number)) {
      const bool ready = --graphs_[rank].missing[static_cast<size_t>(next)] == 0;
      if (ready && step(rank, next).peer < 0) release_successors(rank, next);
    }
  }
  void finish_free_locals(size_t rank) {
    std::vector<int32_t> free;
    for (size_t i = 0; i < programs_[rank].steps.size(); ++i)
      if (programs_[rank].steps[i].peer < 0 && graphs_[rank].missing[i] == 0)
        free.push_back(static_cast<int32_t>(i));
    for (int32_t number : free) release_successors(rank, number);
  }

  std::span<const Program> programs_;
  int most_;
  std::vector<int> counts_;  // per rank: transfers of this round
  std::vector<Graph> graphs_;
  std::vector<std::vector<int32_t>> round_of_;
  std::vector<Channel> channels_;  // by source, then destination
  size_t left_ = 0;
};

// Local steps run before a round: after what they need, as soon as it is there; those that need
// nothing (copies of the caller's data) as late as they are needed, so that slots live shortly.
std::vector<int32_t> place_locals(const Program& program, std::vector<int32_t> round_of,
                                  int32_t rounds) {
  const Graph graph(program);
  const size_t steps = program.steps.size();
  std::vector<int32_t> earliest(steps, -1), latest(steps, rounds);
  for (size_t i = 0; i < steps; ++i) {
    const bool local = program.steps[i].peer < 0;
    if (local && earliest[i] >= 0) round_of[i] = earliest[i];
    const int32_t done = local ? round_of[i] : round_of[i] + 1;
    if (done == kNever) continue;
    for (int32_t next : graph.successors(static_cast<int32_t>(i)))
      earliest[static_cast<size_t>(next)] = std::max(earliest[static_cast<size_t>(next)], done);
  }
  for (size_t i = steps; i-- > 0;) {
    if (round_of[i] != kNever) continue;
    for (int32_t next : graph.successors(static_cast<int32_t>(i)))
      latest[i] = std::min(latest[i], round_of[static_cast<size_t>(next)]);
    round_of[i] = latest[i];
  }
  return round_of;
}

// First fit over the times at which slots are alive.
class SlotPlanner {
 public:
  SlotPlanner(const Program& program, const std::vector<int32_t>& round_of)
      : lives_(program.slot_bytes.size()) {
    for (size_t i = 0; i < program.steps.size(); ++i) {
      const Step& step = program.steps[i];
      const int64_t time = 2 * int64_t{round_of[i]} + (step.peer >= 0 ? 1 : 0);
      use(step.output, time);
      for (int32_t k = 0; k < step.input_count; ++k)
        use(program.operands[static_cast<size_t>(step.inputs + k)], time);
    }
  }

  void place(const Program& program, Sequence& sequence) {
    std::vector<size_t> order;
    for (size_t slot = 0; slot < lives_.size(); ++slot)
      if (lives_[slot].end >= 0) order.push_back(slot);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return lives_[a].begin < lives_[b].begin; });
    sequence.slot_offsets.assign(lives_.size(), 0);
    for (size_t slot : order) {
      std::erase_if(taken_, [&](const Block& block) { return block.until < lives_[slot].begin; });
      const int64_t bytes = (program.slot_bytes[slot] + kAlignment - 1) / kAlignment * kAlignment;
      sequence.slot_offsets[slot] = take(bytes, lives_[slot].end);
      sequence.scratch_bytes =
          std::max(sequence.scratch_bytes, sequence.slot_offsets[slot] + bytes);
    }
  }

 private:
  struct Life {
    int64_t begin = std::numeric_limits<int64_t>::max(), end = -1;
  };
  struct Block {
    int64_t offset, bytes, until;
  };

  void use(const Operand& operand, int64_t time) {
    if (operand.slot < 0) return;
    Life& life = lives_[static_cast<size_t>(operand.slot)];
    life.begin = std::min(life.begin, time);
    life.end = std::max(life.end, time);
  }

  int64_t take(int64_t bytes, int64_t until) {
    int64_t offset = 0;
    auto at = taken_.begin();
    for (; at != taken_.end() && at->offset - offset < bytes; ++at) offset = at->offset + at->bytes;
    taken_.insert(at, {.offset = offset, .bytes = bytes, .until = until});
    return offset;
  }

  std::vector<Life> lives_;
  std::vector<Block> taken_;  // by offset
};

}  // namespace

Sequence plan_sequence(std::span<const Program> programs, int rank, int most_transfers) {
  HECATE_CHECK(most_transfers >= 1, "sequence: ", most_transfers, " transfers in a round");
  RoundPlanner planner(programs, most_transfers);
  planner.run();
  const Program& program = programs[static_cast<size_t>(rank)];
  int32_t rounds = 0;
  for (int32_t round : planner.rounds_of(rank))
    if (round != kNever) rounds = std::max(rounds, round + 1);
  const std::vector<int32_t> round_of = place_locals(program, planner.rounds_of(rank), rounds);
  Sequence sequence;
  sequence.rounds.resize(static_cast<size_t>(rounds) + 1);
  for (size_t i = 0; i < program.steps.size(); ++i) {
    Sequence::Round& round = sequence.rounds[static_cast<size_t>(round_of[i])];
    (program.steps[i].peer >= 0 ? round.transfers : round.locals)
        .push_back(static_cast<int32_t>(i));
  }
  SlotPlanner(program, round_of).place(program, sequence);
  return sequence;
}

}  // namespace hecate::collectives::nccl
