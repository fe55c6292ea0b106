#include "runtime/trace/timeline.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <sstream>

#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "runtime/trace/trace_writer.h"

namespace hecate::trace {
namespace {

constexpr std::string_view kSteps = "steps=";
constexpr int64_t kStepRow = 0;

bool parse_number(std::string_view text, int64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

double work_of(double fixed, double per_row, const graph::OpCost& cost,
               std::span<const int64_t> rows) {
  if (!cost.rows.valid()) return fixed;
  return fixed + per_row * static_cast<double>(rows[static_cast<size_t>(cost.rows.index)]);
}

std::string span_name(int64_t micro_batch) {
  return micro_batch < 0 ? "update" : concat("micro-batch ", micro_batch);
}

}  // namespace

StepRange parse_step_range(std::string_view text) {
  StepRange range;
  const std::string_view numbers = text.substr(std::min(text.size(), kSteps.size()));
  const size_t dots = numbers.find("..");
  const bool read =
      text.starts_with(kSteps) && parse_number(numbers.substr(0, dots), range.first) &&
      parse_number(dots == std::string_view::npos ? numbers : numbers.substr(dots + 2), range.last);
  HECATE_CHECK(read && range.first >= 1 && range.first <= range.last, "'", text,
               "': expected steps=FIRST..LAST or steps=N, counted from 1");
  return range;
}

TimelineRecorder::TimelineRecorder(StepRange steps, int rank) : steps_(steps), rank_(rank) {}

void TimelineRecorder::align() {
  zero_ = std::chrono::duration_cast<std::chrono::nanoseconds>(
              std::chrono::steady_clock::now().time_since_epoch())
              .count();
}

void TimelineRecorder::record(int64_t step, int64_t micro_batch, const graph::Executor& executor,
                              const MemoryBytes& resident) {
  const std::vector<graph::Op>& ops = executor.graph().ops();
  std::vector<size_t> place(ops.size(), entries_.size());
  Span span{.step = step, .micro_batch = micro_batch, .timing = {}, .resident = resident};
  for (size_t i = 0; i < ops.size(); ++i) {
    const graph::Op& op = ops[i];
    const graph::OpTiming& timing = executor.timings()[i];
    if (timing.begin == 0) continue;
    span.timing.begin =
        span.timing.begin == 0 ? timing.begin : std::min(span.timing.begin, timing.begin);
    span.timing.end = std::max(span.timing.end, timing.end);
    place[i] = entries_.size();
    for (const int32_t other : op.depends_on)
      if (executor.timings()[static_cast<size_t>(other)].begin != 0)
        waits_.push_back({.from = place[static_cast<size_t>(other)], .to = place[i]});
    entries_.push_back(
        {.name = op.name,
         .kind = op.kind,
         .lane = op.lane,
         .layer = op.layer,
         .step = step,
         .micro_batch = micro_batch,
         .backward = op.backward,
         .timing = timing,
         .flops = work_of(op.cost.flops, op.cost.flops_per_row, op.cost, executor.rows()),
         .bytes = work_of(op.cost.bytes, op.cost.bytes_per_row, op.cost, executor.rows())});
  }
  if (span.timing.begin == 0) return;
  if (zero_ == 0) zero_ = span.timing.begin;
  spans_.push_back(span);
  for (size_t i = 0; i < kMemoryCategories; ++i)
    for (const Rise& rise : buffers_in_use(executor, static_cast<MemoryCategory>(i)))
      in_use_[i].push_back(rise);
}

void TimelineRecorder::write_counter(TraceWriter& writer, const std::string& name,
                                     std::span<const Rise> rises) const {
  for (const auto& [time, level] : levels(rises)) writer.counter(rank_, name, time - zero_, level);
}

void TimelineRecorder::write_counters(TraceWriter& writer) const {
  for (const LaneKind lane : {LaneKind::dispatch, LaneKind::sparse, LaneKind::dense}) {
    std::vector<Rise> rises;
    for (const Entry& entry : entries_)
      if (entry.lane == lane && entry.bytes > 0)
        rises.push_back({.begin = entry.timing.begin,
                         .end = entry.timing.end,
                         .amount = static_cast<int64_t>(entry.bytes)});
    write_counter(writer, concat("bytes in flight: ", name_of(lane)), rises);
  }
  for (size_t i = 0; i < kMemoryCategories; ++i) {
    std::vector<Rise> rises = in_use_[i];
    for (size_t span = 0; span < spans_.size(); ++span)
      rises.push_back({.begin = spans_[span].timing.begin,
                       .end = span + 1 < spans_.size() ? spans_[span + 1].timing.begin
                                                       : spans_[span].timing.end,
                       .amount = spans_[span].resident[i]});
    write_counter(writer, concat("memory: ", name_of(static_cast<MemoryCategory>(i))), rises);
  }
}

// A step's slice holds those of its micro-batches.
void TimelineRecorder::write_spans(TraceWriter& writer) const {
  const Row row{.process = rank_, .thread = kStepRow};
  for (size_t i = 0; i < spans_.size();) {
    size_t end = i;
    while (end < spans_.size() && spans_[end].step == spans_[i].step) ++end;
    writer.slice({.row = row,
                  .name = concat("step ", spans_[i].step),
                  .category = "step",
                  .begin = spans_[i].timing.begin - zero_,
                  .end = spans_[end - 1].timing.end - zero_,
                  .details = {}});
    for (; i < end; ++i)
      writer.slice({.row = row,
                    .name = span_name(spans_[i].micro_batch),
                    .category = "step",
                    .begin = spans_[i].timing.begin - zero_,
                    .end = spans_[i].timing.end - zero_,
                    .details = {}});
  }
}

void TimelineRecorder::write(const std::filesystem::path& path) const {
  std::ostringstream out;
  TraceWriter writer(out);
  writer.name_process(rank_, concat("rank ", rank_), rank_);
  writer.name_row({.process = rank_, .thread = kStepRow}, "steps", kStepRow);
  const auto row_of = [&](LaneKind lane) {
    return Row{.process = rank_, .thread = kStepRow + 1 + static_cast<int64_t>(lane)};
  };
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const Row row = row_of(static_cast<LaneKind>(lane));
    writer.name_row(row, name_of(static_cast<LaneKind>(lane)), row.thread);
  }
  write_spans(writer);
  write_counters(writer);
  for (const Entry& entry : entries_)
    writer.slice({.row = row_of(entry.lane),
                  .name = entry.name,
                  .category = graph::name_of(entry.kind),
                  .begin = entry.timing.begin - zero_,
                  .end = entry.timing.end - zero_,
                  .details = {{"step", entry.step},
                              {"part", span_name(entry.micro_batch)},
                              {"layer", entry.layer},
                              {"direction", entry.backward ? "backward" : "forward"},
                              {"flops", entry.flops},
                              {"bytes", entry.bytes}}});
  int64_t id = static_cast<int64_t>(rank_) << 32;
  for (const Wait& wait : waits_) {
    const Entry &from = entries_[wait.from], &to = entries_[wait.to];
    writer.arrow(id++, row_of(from.lane), from.timing.end - zero_, row_of(to.lane),
                 to.timing.begin - zero_);
  }
  writer.finish();
  std::error_code error;
  std::filesystem::create_directories(path.parent_path(), error);
  if (error) throw io::io_error(path.parent_path(), "create directory", error.value());
  io::write_file(path, out.str());
}

void merge_timelines(std::span<const std::filesystem::path> parts,
                     const std::filesystem::path& path) {
  io::write_aside(path, [&](io::FileWriter& out) {
    out.write(trace_head());
    bool first = true;
    for (const std::filesystem::path& part : parts) {
      const std::string text = io::read_file(part);
      const size_t frame = trace_head().size() + trace_tail().size();
      HECATE_CHECK(
          text.size() > frame && text.starts_with(trace_head()) && text.ends_with(trace_tail()),
          part.string(), ": not a whole timeline of hecate");
      if (!first) out.write(",\n");
      first = false;
      out.write(std::string_view(text).substr(trace_head().size(), text.size() - frame));
    }
    out.write(trace_tail());
  });
}

}  // namespace hecate::trace
