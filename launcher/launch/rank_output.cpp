#include "launcher/launch/rank_output.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "runtime/base/error.h"

namespace hecate::launch {
namespace {

constexpr int kStarter = -1;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

struct Mark {
  size_t length = 0;  // 0: the text may be the beginning of a mark
  int rank = kStarter;
};

// "[1,3]<stdout>:" at the start of the text; nothing if it cannot be one.
std::optional<Mark> mpirun_mark(std::string_view text) {
  size_t at = 0;
  const auto take = [&](std::string_view expected) {
    for (const char c : expected) {
      if (at == text.size()) return true;
      if (text[at++] != c) return false;
    }
    return true;
  };
  const auto take_number = [&] {
    const size_t begin = at;
    while (at < text.size() && is_digit(text[at]) && at - begin < 9) ++at;
    return at > begin || at == text.size();
  };
  if (!take("[") || !take_number() || !take(",")) return std::nullopt;
  const size_t number = at;
  if (!take_number()) return std::nullopt;
  const std::string_view digits = text.substr(number, at - number);
  if (!take("]<std")) return std::nullopt;
  const size_t name = at;
  bool known = false;
  for (const std::string_view stream : {"out>:", "err>:", "diag>:"}) {
    at = name;
    known = known || take(stream);
    if (known) break;
  }
  if (!known) return std::nullopt;
  if (!text.substr(0, at).ends_with(">:")) return Mark{};
  Mark mark{.length = at};
  std::from_chars(digits.data(), digits.data() + digits.size(), mark.rank);
  return mark;
}

// "12: " at the start of a whole line.
std::optional<Mark> srun_mark(std::string_view line) {
  size_t begin = 0;
  while (begin < line.size() && line[begin] == ' ') ++begin;
  size_t end = begin;
  while (end < line.size() && is_digit(line[end]) && end - begin < 9) ++end;
  if (end == begin || line.substr(end, 1) != ":") return std::nullopt;
  Mark mark{.length = std::min(line.size(), end + 2)};
  std::from_chars(line.data() + begin, line.data() + end, mark.rank);
  return mark;
}

}  // namespace

RankOutput::RankOutput(Starter starter, Write write)
    : starter_(starter), write_(std::move(write)), rank_(kStarter) {}

void RankOutput::add(std::string_view bytes) {
  pending_ += bytes;
  starter_ == Starter::mpirun ? take_mpirun() : take_srun();
}

void RankOutput::take_mpirun() {
  size_t at = 0;
  while (at < pending_.size()) {
    const size_t stop = pending_.find_first_of("[\n", at);
    line_[rank_].append(pending_, at, stop - at);
    at = stop;
    if (at == std::string::npos) break;
    if (pending_[at] == '\n') {
      ++at;
      end_line();
      continue;
    }
    const std::optional<Mark> mark = mpirun_mark(std::string_view(pending_).substr(at));
    if (mark && mark->length == 0) break;  // wait for the rest
    if (mark)
      rank_ = mark->rank;
    else
      line_[rank_] += '[';
    at += mark ? mark->length : 1;
  }
  pending_.erase(0, at);
}

void RankOutput::take_srun() {
  size_t begin = 0;
  for (size_t end = 0; (end = pending_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string_view line = std::string_view(pending_).substr(begin, end - begin);
    const std::optional<Mark> mark = srun_mark(line);
    put(mark ? mark->rank : kStarter, line.substr(mark ? mark->length : 0));
  }
  pending_.erase(0, begin);
}

void RankOutput::end_line() {
  put(rank_, line_[rank_]);
  line_.erase(rank_);
  rank_ = kStarter;
}

void RankOutput::put(int rank, std::string_view text) {
  write_(rank == kStarter ? concat(text, '\n') : concat('[', rank, "] ", text, '\n'));
}

void RankOutput::finish() {
  if (starter_ == Starter::srun && !pending_.empty()) add("\n");
  line_[rank_] += pending_;
  pending_.clear();
  for (const auto& [rank, text] : line_)
    if (!text.empty()) put(rank, text);
  line_.clear();
}

}  // namespace hecate::launch
