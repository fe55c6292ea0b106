#include "runtime/trace/trace_writer.h"

#include <cmath>
#include <cstdlib>
#include <ostream>

namespace hecate::trace {
namespace {

void put(std::ostream& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out << '"';
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out << '\\' << c;
    else if (code < 0x20)
      out << "\\u00" << kHex[code >> 4] << kHex[code & 15];
    else
      out << c;
  }
  out << '"';
}

void put(std::ostream& out, int64_t value) {
  out << value;
}

// JSON has no infinity and no NaN.
void put(std::ostream& out, double value) {
  if (std::isfinite(value))
    out << value;
  else
    out << "null";
}

// Nanoseconds as the format's microseconds, exactly.
void put_time(std::ostream& out, int64_t nanoseconds) {
  const int64_t size = std::abs(nanoseconds), rest = size % 1000;
  out << (nanoseconds < 0 ? "-" : "") << size / 1000 << '.' << rest / 100 << rest / 10 % 10
      << rest % 10;
}

}  // namespace

std::string_view trace_head() {
  return "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
}
std::string_view trace_tail() {
  return "\n]}\n";
}

TraceWriter::TraceWriter(std::ostream& out) : out_(&out) {
  *out_ << trace_head();
}

void TraceWriter::begin_event(std::string_view phase, const Row& row, std::string_view name) {
  if (!first_) *out_ << ",\n";
  first_ = false;
  *out_ << "{\"ph\":\"" << phase << "\",\"pid\":" << row.process << ",\"tid\":" << row.thread
        << ",\"name\":";
  put(*out_, name);
}

void TraceWriter::end_event() {
  *out_ << '}';
}

void TraceWriter::metadata(std::string_view what, const Row& row, std::string_view name,
                           int64_t order) {
  begin_event("M", row, std::string(what) + "_name");
  *out_ << ",\"args\":{\"name\":";
  put(*out_, name);
  *out_ << '}';
  end_event();
  begin_event("M", row, std::string(what) + "_sort_index");
  *out_ << ",\"args\":{\"sort_index\":" << order << '}';
  end_event();
}

void TraceWriter::name_process(int64_t process, std::string_view name, int64_t order) {
  metadata("process", {.process = process, .thread = 0}, name, order);
}

void TraceWriter::name_row(const Row& row, std::string_view name, int64_t order) {
  metadata("thread", row, name, order);
}

void TraceWriter::slice(const Slice& slice) {
  begin_event("X", slice.row, slice.name);
  *out_ << ",\"cat\":";
  put(*out_, slice.category);
  *out_ << ",\"ts\":";
  put_time(*out_, slice.begin);
  *out_ << ",\"dur\":";
  put_time(*out_, slice.end - slice.begin);
  if (!slice.details.empty()) {
    char separator = '{';
    *out_ << ",\"args\":";
    for (const auto& [name, value] : slice.details) {
      *out_ << separator;
      put(*out_, name);
      *out_ << ':';
      std::visit([&](const auto& each) { put(*out_, each); }, value);
      separator = ',';
    }
    *out_ << '}';
  }
  end_event();
}

void TraceWriter::arrow(int64_t id, const Row& from, int64_t from_time, const Row& to,
                        int64_t to_time) {
  const auto end = [&](std::string_view phase, const Row& row, int64_t time) {
    begin_event(phase, row, "depends");
    *out_ << ",\"cat\":\"depends\",\"id\":" << id << ",\"ts\":";
    put_time(*out_, time);
    if (phase == "f") *out_ << ",\"bp\":\"e\"";
    end_event();
  };
  end("s", from, from_time);
  end("f", to, to_time);
}

void TraceWriter::counter(int64_t process, std::string_view name, int64_t time, int64_t value) {
  begin_event("C", {.process = process, .thread = 0}, name);
  *out_ << ",\"ts\":";
  put_time(*out_, time);
  *out_ << ",\"args\":{\"bytes\":" << value << '}';
  end_event();
}

void TraceWriter::finish() {
  *out_ << trace_tail();
}

}  // namespace hecate::trace
