#include "collectives/engine/engine_communicator.h"

#include <algorithm>
#include <bit>
#include <string_view>
#include <utility>

#include "collectives/dense/algorithms.h"
#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

// A reduction of at most this many bytes over all ranks is done in one round.
constexpr int64_t kOneRoundBytes = 64 << 10;
// The argument comparison's messages are numbered here, away from the program's own.
constexpr uint32_t kPrologueIndex = 0x3fff;

std::vector<int> nodes_of(const Engine& engine, std::span<const int> ranks) {
  const auto all = const_cast<Engine&>(engine).transport().nodes();
  std::vector<int> nodes;
  for (int rank : ranks) nodes.push_back(all[static_cast<size_t>(rank)]);
  return nodes;
}

int position_of(std::span<const int> ranks, int rank) {
  return static_cast<int>(std::find(ranks.begin(), ranks.end(), rank) - ranks.begin());
}

int64_t moved_bytes(const Program& program) {
  int64_t bytes = 0;
  for (const Step& step : program.steps) bytes += step.bytes;
  return bytes;
}

uint64_t hash(std::initializer_list<int64_t> values) {
  uint64_t result = 0xcbf29ce484222325ull;
  for (int64_t value : values) {
    result = (result ^ static_cast<uint64_t>(value)) * 0x100000001b3ull;
    result ^= result >> 29;
  }
  return result;
}

}  // namespace

ContextSet::Mask ContextSet::free_mask() const {
  const std::lock_guard lock(mutex_);
  return free_;
}

void ContextSet::take(uint32_t context) {
  const std::lock_guard lock(mutex_);
  free_[context / 64] &= ~(uint64_t{1} << (context % 64));
}

void ContextSet::release(uint32_t context) {
  const std::lock_guard lock(mutex_);
  free_[context / 64] |= uint64_t{1} << (context % 64);
}

// What ranks compare before a checked operation.
struct EngineCommunicator::Arguments {
  uint64_t agreement = 0;  ///< equal on all ranks
  /// Elements to and from each rank; empty where `agreement` says it all.
  std::vector<int64_t> to, from;
};

EngineCommunicator::EngineCommunicator(std::shared_ptr<RankState> state, std::vector<int> ranks,
                                       uint32_t context, LaneKind lane)
    : state_(std::move(state)),
      ranks_(std::make_shared<const std::vector<int>>(std::move(ranks))),
      group_(position_of(*ranks_, state_->engine->transport().rank()),
             nodes_of(*state_->engine, *ranks_)),
      context_(context),
      lane_(lane),
      exchanges_(group_.rank(), group_.size()) {
  state_->contexts.take(context);
}

EngineCommunicator::~EngineCommunicator() {
  // After a failure messages of this context may still be under way: it is not used again.
  if (!engine().failed()) state_->contexts.release(context_);
}

std::shared_ptr<CommunicatorBackend> EngineCommunicator::split(int color, int key, LaneKind lane) {
  const ContextSet::Mask mine = state_->contexts.free_mask();
  const size_t words = 2 + mine.size();
  std::vector<int64_t> in{color, key};
  for (uint64_t word : mine) in.push_back(std::bit_cast<int64_t>(word));
  std::vector<int64_t> all(words * static_cast<size_t>(size()));
  const std::vector<int64_t> counts(static_cast<size_t>(size()), static_cast<int64_t>(words));
  all_gather_v(in.data(), all.data(), counts, DType::i64).wait();

  ContextSet::Mask common(mine.size(), ~uint64_t{0});
  std::vector<std::pair<int64_t, int>> members;
  for (int r = 0; r < size(); ++r) {
    const int64_t* entry = all.data() + static_cast<size_t>(r) * words;
    for (size_t w = 0; w < common.size(); ++w) common[w] &= std::bit_cast<uint64_t>(entry[2 + w]);
    if (entry[0] == color) members.emplace_back(entry[1], r);
  }
  const auto word = std::find_if(common.begin(), common.end(), [](uint64_t w) { return w != 0; });
  if (word == common.end())
    throw CommError(concat("split: all ", ContextSet::kContexts, " communicators are in use"));
  if (color < 0) return nullptr;
  const auto context =
      static_cast<uint32_t>((word - common.begin()) * 64 + std::countr_zero(*word));
  std::sort(members.begin(), members.end());
  std::vector<int> ranks;
  for (const auto& [order, rank] : members) ranks.push_back((*ranks_)[static_cast<size_t>(rank)]);
  return std::make_shared<EngineCommunicator>(state_, std::move(ranks), context, lane);
}

void EngineCommunicator::add_prologue(Submission& submission, const Arguments& arguments) const {
  struct Note {
    uint64_t agreement;
    int64_t to, from;  // elements that the writer sends to, expects from the reader
  };
  struct Notes {
    std::vector<Note> sent, received;
  };
  const int n = size();
  auto notes = std::make_shared<Notes>();
  notes->sent.resize(static_cast<size_t>(n));
  notes->received.resize(static_cast<size_t>(n));
  ProgramBuilder builder(n, DType::u8);
  for (int k = 1; k < n; ++k) {
    const auto to = static_cast<size_t>((rank() + k) % n);
    const auto from = static_cast<size_t>((rank() - k + n) % n);
    notes->sent[to] = {.agreement = arguments.agreement,
                       .to = arguments.to.empty() ? 0 : arguments.to[to],
                       .from = arguments.from.empty() ? 0 : arguments.from[to]};
    builder.send(static_cast<int>(to), memory(&notes->sent[to]), sizeof(Note));
    builder.receive(static_cast<int>(from), memory(&notes->received[from]), sizeof(Note));
  }
  submission.prologue = builder.take();
  for (Step& step : submission.prologue.steps) step.index = kPrologueIndex;
  submission.check = [notes, name = submission.name, me = rank(), n] {
    for (int k = 1; k < n; ++k) {
      const int peer = (me + k) % n;
      const Note& theirs = notes->received[static_cast<size_t>(peer)];
      const Note& ours = notes->sent[static_cast<size_t>(peer)];
      HECATE_CHECK(theirs.agreement == ours.agreement, name, ": ranks ", me, " and ", peer,
                   " call it with different arguments (or call different operations)");
      HECATE_CHECK(theirs.to == ours.from && theirs.from == ours.to, name, ": rank ", me, " sends ",
                   ours.to, " to and expects ", ours.from, " from rank ", peer, ", which expects ",
                   theirs.from, " and sends ", theirs.to);
    }
  };
}

Work EngineCommunicator::submit(Program program, const char* operation, Arguments arguments) {
  Submission submission;
  submission.name = operation;
  submission.context = context_;
  submission.sequence = sequence_++;
  submission.lane = lane_;
  submission.bytes = moved_bytes(program);
  submission.ranks = ranks_;
  submission.program = std::move(program);
  if (engine().options().check_arguments && size() > 1) {
    // Another operation with the same numbers is another call.
    for (const char letter : std::string_view(operation))
      arguments.agreement = hash({std::bit_cast<int64_t>(arguments.agreement), letter});
    add_prologue(submission, arguments);
  }
  return Work(engine().submit(std::move(submission)));
}

Work EngineCommunicator::start(Program program, const char* operation, uint64_t agreement) {
  return submit(std::move(program), operation, {.agreement = agreement, .to = {}, .from = {}});
}

Work EngineCommunicator::barrier() {
  return start(dense::barrier(group_), "barrier", 0);
}

Work EngineCommunicator::broadcast(void* data, int64_t count, DType type, int root) {
  return start(dense::broadcast(group_, data, count, type, root, segment_bytes()), "broadcast",
               hash({count, static_cast<int64_t>(type), root}));
}

Work EngineCommunicator::reduce(const void* in, void* out, int64_t count, DType type, ReduceOp op,
                                int root) {
  const dense::Reduction reduction{
      .in = in, .out = out, .type = type, .op = op, .segment_bytes = segment_bytes()};
  Program program = dense::reduce_blocks(group_, reduction, dense::split_evenly(count, size()),
                                         dense::Destination::root, root);
  return start(std::move(program), "reduce",
               hash({count, static_cast<int64_t>(type), static_cast<int64_t>(op), root}));
}

Work EngineCommunicator::all_reduce(const void* in, void* out, int64_t count, DType type,
                                    ReduceOp op) {
  const dense::Reduction reduction{
      .in = in, .out = out, .type = type, .op = op, .segment_bytes = segment_bytes()};
  const int64_t bytes = count * static_cast<int64_t>(size_of(type));
  Program program =
      bytes * size() <= kOneRoundBytes
          ? dense::reduce_at_once(group_, reduction, count)
          : dense::reduce_blocks(group_, reduction, dense::split_evenly(count, size()),
                                 dense::Destination::everybody, 0);
  return start(std::move(program), "all_reduce",
               hash({count, static_cast<int64_t>(type), static_cast<int64_t>(op)}));
}

Work EngineCommunicator::all_gather_v(const void* in, void* out, std::span<const int64_t> counts,
                                      DType type) {
  uint64_t agreement = hash({static_cast<int64_t>(type)});
  for (int64_t count : counts) agreement = hash({std::bit_cast<int64_t>(agreement), count});
  return start(dense::all_gather(group_, in, out, dense::packed(counts), type, segment_bytes()),
               "all_gather", agreement);
}

Work EngineCommunicator::reduce_scatter_v(const void* in, void* out,
                                          std::span<const int64_t> counts, DType type,
                                          ReduceOp op) {
  uint64_t agreement = hash({static_cast<int64_t>(type), static_cast<int64_t>(op)});
  for (int64_t count : counts) agreement = hash({std::bit_cast<int64_t>(agreement), count});
  const dense::Reduction reduction{
      .in = in, .out = out, .type = type, .op = op, .segment_bytes = segment_bytes()};
  return start(
      dense::reduce_blocks(group_, reduction, dense::packed(counts), dense::Destination::owner, 0),
      "reduce_scatter", agreement);
}

Work EngineCommunicator::all_to_all_v(const void* in, std::span<const int64_t> send_counts,
                                      void* out, std::span<const int64_t> receive_counts,
                                      DType type) {
  Program program = dense::all_to_all(group_, in, dense::packed(send_counts), out,
                                      dense::packed(receive_counts), type, segment_bytes());
  return submit(std::move(program), "all_to_all",
                {.agreement = hash({static_cast<int64_t>(type)}),
                 .to = {send_counts.begin(), send_counts.end()},
                 .from = {receive_counts.begin(), receive_counts.end()}});
}

Work EngineCommunicator::exchange(std::span<const Send> sends, std::span<const Receive> receives) {
  Submission submission =
      exchanges_.build(sends, receives, segment_bytes(), engine().options().check_arguments);
  submission.context = context_;
  submission.lane = lane_;
  submission.bytes = moved_bytes(submission.program);
  submission.ranks = ranks_;
  return Work(engine().submit(std::move(submission)));
}

}  // namespace hecate::collectives
