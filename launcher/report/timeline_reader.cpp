#include "launcher/report/timeline_reader.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"
#include "runtime/io/file.h"

namespace hecate::launcher {
namespace {

using Json = nlohmann::json;
using monitoring::TimelineExcerpt;

constexpr int64_t kMostRanks = 4;
constexpr uintmax_t kMostBytes = 64 << 20;
constexpr size_t kMostSlices = 3000;       // of a rank; the shortest go
constexpr double kMostCounterSpans = 300;  // of a counter, with at most two values each

// The events of one rank that the excerpt needs, times in milliseconds from the timeline's zero.
struct RankEvents {
  struct Slice {
    int64_t thread, step;
    double begin, end;
    std::string name, kind;
  };
  std::map<int64_t, std::string> rows;
  std::map<int64_t, std::pair<double, double>> steps;  // when each began and ended
  std::vector<Slice> slices;
  std::map<std::string, std::vector<std::pair<double, double>>> counters;
  bool damaged = false;
};

void take_slice(const Json& event, RankEvents& events) {
  const double begin = event.at("ts").get<double>() / 1e3;
  const double end = begin + event.at("dur").get<double>() / 1e3;
  const std::string name = event.at("name"), kind = event.value("cat", "");
  if (kind == "step") {
    constexpr std::string_view kStep = "step ";
    if (name.starts_with(kStep)) events.steps[std::stoll(name.substr(kStep.size()))] = {begin, end};
    return;
  }
  events.slices.push_back({.thread = event.at("tid"),
                           .step = event.at("args").at("step"),
                           .begin = begin,
                           .end = end,
                           .name = name,
                           .kind = kind});
}

void take(const Json& event, RankEvents& events) {
  const std::string phase = event.at("ph");
  if (phase == "X") {
    take_slice(event, events);
  } else if (phase == "M" && event.at("name") == "thread_name") {
    events.rows[event.at("tid")] = event.at("args").at("name");
  } else if (phase == "C") {
    for (const auto& [key, value] : event.at("args").items())
      if (value.is_number())
        events.counters[event.at("name")].emplace_back(event.at("ts").get<double>() / 1e3,
                                                       value.get<double>());
  }
}

// One event a line; the first and the last line are the frame.
RankEvents parse(std::string_view text) {
  RankEvents events;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.starts_with("{\"ph\"")) continue;
    if (line.ends_with(',')) line.remove_suffix(1);
    try {
      take(Json::parse(line), events);
    } catch (const Json::exception&) {
      events.damaged = true;
    } catch (const std::logic_error&) {  // a step that is no number
      events.damaged = true;
    }
  }
  return events;
}

std::vector<RankEvents> read_ranks(const std::filesystem::path& directory,
                                   std::vector<std::string>& notes) {
  std::vector<RankEvents> ranks;
  for (int64_t rank = 0; rank < kMostRanks; ++rank) {
    const std::filesystem::path path = directory / concat("rank-", rank, ".json");
    std::error_code error;
    const uintmax_t bytes = std::filesystem::file_size(path, error);
    if (error) break;
    if (bytes > kMostBytes) {
      notes.push_back(concat("timeline/", path.filename().string(), ": left out: ", bytes >> 20,
                             " MiB, more than ", kMostBytes >> 20));
      break;
    }
    ranks.push_back(parse(io::read_file(path)));
    if (ranks.back().damaged)
      notes.push_back(concat("timeline/", path.filename().string(), ": some events are damaged"));
  }
  return ranks;
}

void add_slices(const RankEvents& events, int64_t rank, double zero, TimelineExcerpt& excerpt) {
  std::vector<RankEvents::Slice> slices;
  std::ranges::copy_if(events.slices, std::back_inserter(slices),
                       [&](const RankEvents::Slice& slice) { return slice.step == excerpt.step; });
  if (slices.size() > kMostSlices) {
    std::ranges::nth_element(
        slices, slices.begin() + kMostSlices, std::ranges::greater{},
        [](const RankEvents::Slice& slice) { return slice.end - slice.begin; });
    excerpt.left_out += std::ssize(slices) - static_cast<int64_t>(kMostSlices);
    slices.resize(kMostSlices);
  }
  std::ranges::sort(slices, {}, &RankEvents::Slice::begin);
  for (RankEvents::Slice& slice : slices) {
    const auto row = events.rows.find(slice.thread);
    const std::string lane = row == events.rows.end() ? concat("row ", slice.thread) : row->second;
    auto place = std::ranges::find(excerpt.lanes, lane);
    if (place == excerpt.lanes.end()) place = excerpt.lanes.insert(place, lane);
    excerpt.slices.push_back({.rank = rank,
                              .lane = place - excerpt.lanes.begin(),
                              .begin = slice.begin - zero,
                              .end = slice.end - zero,
                              .name = std::move(slice.name),
                              .kind = std::move(slice.kind)});
  }
}

// Of a long series the greatest value of each of equal spans of time and what it fell to by the
// span's end, so that peaks and levels stay.
class Thinner {
 public:
  Thinner(double width, std::vector<std::pair<double, double>>& values)
      : width_(width), values_(&values) {}

  void add(double time, double value) {
    if (values_->empty() || time - begin_ >= width_) {
      finish();
      begin_ = time;
      values_->emplace_back(time, value);
    } else if (value > values_->back().second) {
      values_->back().second = value;
    }
    last_ = {time, value};
  }
  void finish() {
    if (!values_->empty() && last_.second != values_->back().second) values_->push_back(last_);
  }

 private:
  double width_, begin_ = 0;
  std::pair<double, double> last_{};
  std::vector<std::pair<double, double>>* values_;
};

// The value that a counter has when the step begins is its first.
void add_counters(const RankEvents& events, int64_t rank, std::pair<double, double> span,
                  TimelineExcerpt& excerpt) {
  for (const auto& [name, all] : events.counters) {
    TimelineExcerpt::Counter counter{.name = name, .rank = rank, .values = {}};
    Thinner thinner((span.second - span.first) / kMostCounterSpans, counter.values);
    const auto first =
        std::ranges::upper_bound(all, span.first, {}, [](const auto& each) { return each.first; });
    if (first != all.begin()) thinner.add(0, std::prev(first)->second);
    for (auto each = first; each != all.end() && each->first <= span.second; ++each)
      thinner.add(each->first - span.first, each->second);
    thinner.finish();
    if (!counter.values.empty()) excerpt.counters.push_back(std::move(counter));
  }
}

}  // namespace

std::optional<TimelineExcerpt> read_timeline(const std::filesystem::path& directory,
                                             std::vector<std::string>& notes) {
  const std::vector<RankEvents> ranks = read_ranks(directory, notes);
  TimelineExcerpt excerpt;
  for (const RankEvents& events : ranks)
    for (const auto& [step, span] : events.steps) excerpt.step = std::max(excerpt.step, step);
  double zero = 0;
  bool found = false;
  for (const RankEvents& events : ranks)
    if (const auto span = events.steps.find(excerpt.step); span != events.steps.end()) {
      zero = found ? std::min(zero, span->second.first) : span->second.first;
      found = true;
    }
  if (!found) return std::nullopt;
  if (!ranks.front().rows.empty())
    for (const auto& [thread, name] : ranks.front().rows)
      if (name != "steps") excerpt.lanes.push_back(name);
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const auto span = ranks[rank].steps.find(excerpt.step);
    if (span == ranks[rank].steps.end()) continue;
    const auto index = std::ssize(excerpt.ranks);
    excerpt.ranks.push_back(static_cast<int64_t>(rank));
    add_slices(ranks[rank], index, zero, excerpt);
    add_counters(ranks[rank], index, {zero, span->second.second}, excerpt);
  }
  return excerpt;
}

}  // namespace hecate::launcher
