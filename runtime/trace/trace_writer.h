#pragma once
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// Timelines in the JSON form that chrome://tracing and https://ui.perfetto.dev open ("Trace Event
/// Format").
namespace hecate::trace {

/// A row of the timeline: `thread` of `process`.
struct Row {
  int64_t process = 0, thread = 0;
};

/// Something that lasted, with details that a click shows.
struct Slice {
  using Detail = std::pair<std::string_view, std::variant<int64_t, double, std::string_view>>;

  Row row;
  std::string_view name;
  std::string_view category;
  int64_t begin = 0, end = 0;  ///< nanoseconds from the timeline's zero
  std::vector<Detail> details;
};

/// Writes one event a line. Slices of a row that overlap must nest, the outer one first; the
/// viewers sort the rest.
class TraceWriter {
 public:
  /// @param out outlives the object.
  explicit TraceWriter(std::ostream& out);

  /// @param order of the process among the others, lowest on top.
  void name_process(int64_t process, std::string_view name, int64_t order);
  void name_row(const Row& row, std::string_view name, int64_t order);
  void slice(const Slice& slice);
  /// An arrow from the slice around one point to the slice around another. @param id the arrow's.
  void arrow(int64_t id, const Row& from, int64_t from_time, const Row& to, int64_t to_time);
  /// A counter of a process has this value from `time` on.
  void counter(int64_t process, std::string_view name, int64_t time, int64_t value);
  /// Ends the file; nothing may follow.
  void finish();

 private:
  void begin_event(std::string_view phase, const Row& row, std::string_view name);
  void end_event();
  void metadata(std::string_view what, const Row& row, std::string_view name, int64_t order);

  std::ostream* out_;
  bool first_ = true;
};

/// First and last lines of a file that TraceWriter wrote; between them one event a line, separated
/// by ",\n".
std::string_view trace_head();
std::string_view trace_tail();

}  // namespace hecate::trace
