#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "collectives/flight_comparison.h"
#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

namespace fs = std::filesystem;

template <class Enum>
Enum parse_name(const std::string& name, int count) {
  for (int i = 0; i < count; ++i)
    if (name_of(static_cast<Enum>(i)) == name) return static_cast<Enum>(i);
  throw InvalidArgument(concat("flight record: unknown word '", name, "'"));
}

RankRecord parse_entry(const std::string& line) {
  constexpr int kStates = 4;
  std::istringstream words(line);
  std::string tag, lane, ranks, state, late;
  double milliseconds = 0;
  RankRecord record;
  FlightEntry& entry = record.entries.emplace_back();
  words >> tag >> record.rank >> lane >> entry.context >> ranks >> entry.sequence >>
      entry.operation >> entry.bytes >> state >> milliseconds >> late;
  HECATE_CHECK(!words.fail(), "flight record: not an entry: '", line, "'");
  entry.lane = parse_name<LaneKind>(lane, static_cast<int>(kLanes));
  entry.state = parse_name<OperationState>(state, kStates);
  entry.ranks = std::make_shared<const std::vector<int>>(read_ranks(ranks));
  entry.end_ns = static_cast<int64_t>(milliseconds * 1e6);
  entry.late = read_ranks(late);
  return record;
}

// Waits until `ready` holds, for at most `patience`.
template <class Ready>
bool wait_for(std::chrono::milliseconds patience, const Ready& ready) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!ready()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

// Every rank that a record names has left one.
bool all_are_there(const std::vector<RankRecord>& records) {
  std::set<int> missing;
  for (const RankRecord& record : records)
    for (const FlightEntry& entry : record.entries)
      if (entry.ranks) missing.insert(entry.ranks->begin(), entry.ranks->end());
  for (const RankRecord& record : records) missing.erase(record.rank);
  return missing.empty();
}

std::string compare_all(const std::string& directory, int rank,
                        std::chrono::milliseconds patience) {
  wait_for(patience, [&] {
    try {
      return all_are_there(read_records(directory));
    } catch (const IoError&) {
      return false;  // none yet
    }
  });
  const std::vector<RankRecord> records = read_records(directory);
  const std::string report = flight_report_file(directory);
  if (records.front().rank != rank) {
    std::error_code error;
    wait_for(patience, [&] { return fs::exists(report, error); });
    return {};
  }
  std::string text = compare(records).text;
  const std::string unfinished = report + ".tmp";
  {
    std::ofstream out(unfinished);
    out << text;
  }
  fs::rename(unfinished, report);
  return text;
}

}  // namespace

std::vector<RankRecord> read_records(std::istream& in) {
  std::map<int, RankRecord> records;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("flight ")) continue;
    RankRecord one = parse_entry(line);
    RankRecord& record = records[one.rank];
    record.rank = one.rank;
    record.entries.push_back(std::move(one.entries.front()));
  }
  std::vector<RankRecord> sorted;
  for (auto& [rank, record] : records) sorted.push_back(std::move(record));
  return sorted;
}

std::vector<RankRecord> read_records(const std::string& path) {
  std::error_code error;
  std::vector<fs::path> files;
  if (fs::is_directory(path, error)) {
    for (const auto& entry : fs::directory_iterator(path, error))
      if (entry.path().filename().string().starts_with("flight-") &&
          entry.path().extension() == ".txt" && entry.path() != flight_report_file(path))
        files.push_back(entry.path());
  } else {
    files.emplace_back(path);
  }
  std::stringstream text;
  for (const fs::path& file : files) {
    std::ifstream in(file);
    if (!in) throw IoError(concat("cannot read the flight record ", file.string()));
    text << in.rdbuf();
    text.clear();  // an empty file sets the fail bit
  }
  std::vector<RankRecord> records = read_records(text);
  if (records.empty()) throw IoError(concat("no flight record in ", path));
  return records;
}

std::string report_failure(const std::string& directory, int rank,
                           std::chrono::milliseconds patience) {
  if (directory.empty()) return {};
  try {
    return compare_all(directory, rank, patience);
  } catch (const std::exception& error) {
    return concat("flight records could not be compared: ", error.what(), "\n");
  }
}

}  // namespace hecate::collectives
