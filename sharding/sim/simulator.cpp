#include "sharding/sim/simulator.h"

#include <algorithm>
#include <array>
#include <queue>

#include "runtime/base/error.h"
#include "sharding/sim/network.h"

namespace hecate::sharding::sim {
namespace {

size_t at(int i) {
  return static_cast<size_t>(i);
}

// Who waits for whom among the operations that run.
struct Order {
  std::vector<int32_t> waits;                   // per operation: how many it waits for
  std::vector<std::vector<int32_t>> followers;  // per operation
  std::vector<char> runs;
};

Order order_of(const RunInputs& inputs) {
  const std::vector<Op>& ops = inputs.program->ops;
  Order order{.waits = std::vector<int32_t>(ops.size()),
              .followers = std::vector<std::vector<int32_t>>(ops.size()),
              .runs = std::vector<char>(ops.size())};
  std::array<int32_t, kLanes> previous{};
  previous.fill(-1);
  for (size_t i = 0; i < ops.size(); ++i) {
    const Op& op = ops[i];
    order.runs[i] = op.when == When::always ||
                    (op.when == When::first ? inputs.first_micro_batch : inputs.last_micro_batch);
    if (order.runs[i] == 0) continue;
    const auto after = [&](int32_t other) {
      if (other < 0 || order.runs[at(other)] == 0) return;
      order.followers[at(other)].push_back(static_cast<int32_t>(i));
      ++order.waits[i];
    };
    after(previous[at(op.lane)]);
    for (const int32_t other : op.after) after(other);
    previous[at(op.lane)] = static_cast<int32_t>(i);
  }
  return order;
}

class Run {
 public:
  Run(const RunInputs& inputs, std::span<const double> start)
      : in_(inputs),
        order_(order_of(inputs)),
        record_(inputs.program->ops.size(), inputs.resources->devices()),
        network_(*inputs.resources, [this](int op, int rank, double time, int last) {
          record_.at(at(op), rank).last = last;
          events_.push({time, sequence_++, op, rank});
        }) {
    const size_t ops = in_.program->ops.size();
    waits_.resize(ops * start.size());
    for (size_t i = 0; i < ops; ++i)
      std::fill_n(waits_.begin() + static_cast<std::ptrdiff_t>(i * start.size()), start.size(),
                  order_.waits[i]);
    // Operations that wait for nothing begin with the run, in the order of the ranks' starts.
    for (size_t i = 0; i < ops; ++i)
      for (size_t rank = 0; order_.runs[i] != 0 && order_.waits[i] == 0 && rank < start.size();
           ++rank)
        events_.push({start[rank], sequence_++, ~static_cast<int32_t>(i), static_cast<int>(rank)});
  }

  RunRecord run() {
    while (true) {
      const double drained = network_.next();
      if (drained >= 0 && (events_.empty() || drained <= events_.top().time)) {
        network_.advance(drained);
        continue;
      }
      if (events_.empty()) break;
      const Event event = events_.top();
      events_.pop();
      event.op < 0 ? begin(~event.op, event.rank, event.time, -1)
                   : end(event.op, event.rank, event.time);
    }
    return std::move(record_);
  }

 private:
  struct Event {
    double time;
    uint64_t sequence;
    int32_t op;  // that ends; ~op: that begins
    int rank;
    bool operator>(const Event& other) const {
      return time != other.time ? time > other.time : sequence > other.sequence;
    }
  };

  void begin(int32_t index, int rank, double time, int32_t cause) {
    const Op& op = in_.program->ops[at(index)];
    RunRecord::Entry& entry = record_.at(at(index), rank);
    entry.begin = time;
    entry.cause = cause;
    const Traffic* traffic = in_.traffic.empty() ? nullptr : in_.traffic[at(index)];
    if (traffic != nullptr)
      network_.arrive(index, *traffic, in_.program->urgent[at(op.lane)], rank, time);
    else
      events_.push({time + seconds(op, rank), sequence_++, index, rank});
  }

  void end(int32_t index, int rank, double time) {
    record_.at(at(index), rank).end = time;
    const size_t ranks = at(record_.ranks());
    for (const int32_t follower : order_.followers[at(index)])
      if (--waits_[at(follower) * ranks + at(rank)] == 0) begin(follower, rank, time, index);
  }

  double seconds(const Op& op, int rank) const {
    if (op.host) return op.seconds;
    if (op.lane != 0) return 0;
    Work work{.kind = op.kind, .flops = op.flops, .bytes = op.bytes, .rows = 0, .groups = 0};
    if (op.rows >= 0) {
      work.rows = in_.rows[at(op.rows)][at(rank)];
      work.groups = op.bytes_per_group > 0 ? in_.groups[at(op.rows)][at(rank)] : 0;
      work.flops += work.rows * op.flops_per_row;
      work.bytes += work.rows * op.bytes_per_row + work.groups * op.bytes_per_group;
    }
    return seconds_of(*in_.device, work);
  }

  const RunInputs& in_;
  Order order_;
  RunRecord record_;
  std::vector<int32_t> waits_;  // [op, rank]
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
  uint64_t sequence_ = 0;
  Network network_;
};

void check(const RunInputs& in, std::span<const double> start) {
  HECATE_CHECK(in.program != nullptr && in.resources != nullptr && in.device != nullptr,
               "simulate: no program, resources or device");
  HECATE_CHECK(std::ssize(start) == in.resources->devices(), "simulate: ", start.size(),
               " starts for ", in.resources->devices(), " devices");
  HECATE_CHECK(in.traffic.empty() || in.traffic.size() == in.program->ops.size(),
               "simulate: ", in.traffic.size(), " collectives for ", in.program->ops.size(),
               " operations");
  HECATE_CHECK(std::ssize(in.rows) == in.program->rows && in.groups.size() == in.rows.size(),
               "simulate: ", in.rows.size(), " row counts, expected ", in.program->rows);
}

}  // namespace

double RunRecord::end_of(int rank, double start) const {
  double last = start;
  for (size_t op = 0; op < ops(); ++op) last = std::max(last, at(op, rank).end);
  return last;
}

int32_t RunRecord::last_op(int rank) const {
  int32_t last = -1;
  for (size_t op = 0; op < ops(); ++op)
    if (at(op, rank).begin >= 0 &&
        (last < 0 || at(op, rank).end >= at(static_cast<size_t>(last), rank).end))
      last = static_cast<int32_t>(op);
  return last;
}

RunRecord simulate(const RunInputs& inputs, std::span<const double> start) {
  check(inputs, start);
  return Run(inputs, start).run();
}

int walk_critical_path(const RunRecord& record, int rank, const PathVisit& visit) {
  for (int32_t op = record.last_op(rank); op >= 0;) {
    const RunRecord::Entry* entry = &record.at(static_cast<size_t>(op), rank);
    const double end = entry->end;
    if (entry->last >= 0 && entry->last != rank) {
      const RunRecord::Entry& latest = record.at(static_cast<size_t>(op), entry->last);
      if (latest.begin > entry->begin) {
        rank = entry->last;
        entry = &latest;
      }
    }
    visit(op, end - entry->begin);
    op = entry->cause;
  }
  return rank;
}

void add_waits(const Program& program, const RunRecord& record, std::span<double> seconds_by_kind) {
  for (int rank = 0; rank < record.ranks(); ++rank) {
    double free_since = -1;
    for (size_t i = 0; i < record.ops(); ++i) {
      const RunRecord::Entry& entry = record.at(i, rank);
      if (program.ops[i].lane != 0 || entry.begin < 0) continue;
      const int cause = entry.cause;
      if (free_since >= 0 && cause >= 0 && program.ops[at(cause)].lane != 0)
        seconds_by_kind[at(program.ops[at(cause)].kind)] +=
            (entry.begin - free_since) / record.ranks();
      free_since = entry.end;
    }
  }
}

}  // namespace hecate::sharding::sim
