#include "collectives/measure.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <optional>
#include <utility>

#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Two ranks, the first of which measures.
using Pair = std::pair<int, int>;

std::optional<Pair> find_pair(std::span<const int> nodes, bool same_node) {
  for (size_t a = 0; a < nodes.size(); ++a)
    for (size_t b = a + 1; b < nodes.size(); ++b)
      if ((nodes[a] == nodes[b]) == same_node)
        return Pair{static_cast<int>(a), static_cast<int>(b)};
  return std::nullopt;
}

class PairMeter {
 public:
  PairMeter(const Communicator& communicator, Pair pair, double budget)
      : comm_(communicator), pair_(pair), budget_(budget) {}

  Link measure() {
    Link link;
    const bool takes_part = comm_.rank() == pair_.first || comm_.rank() == pair_.second;
    if (takes_part) {
      link.latency_s = latency();
      link.bytes_per_s = bandwidth();
    }
    std::array<double, 2> figures = {link.bytes_per_s, link.latency_s};
    comm_.broadcast(figures.data(), 2, DType::f64, pair_.first).wait();
    return {.bytes_per_s = figures[0], .latency_s = figures[1]};
  }

 private:
  bool first() const { return comm_.rank() == pair_.first; }
  int peer() const { return first() ? pair_.second : pair_.first; }
  void send(const void* data, int64_t bytes) {
    const Send message[] = {{peer(), data, bytes}};
    comm_.exchange(message, {}).wait();
  }
  void receive(void* data, int64_t bytes) {
    const Receive message[] = {{peer(), data, bytes}};
    comm_.exchange({}, message).wait();
  }

  double latency() {
    constexpr int kRounds = 30;
    double best = 1e9;
    int64_t word = 0;
    for (int round = 0; round < kRounds; ++round) {
      const auto begin = Clock::now();
      first() ? send(&word, 8) : receive(&word, 8);
      first() ? receive(&word, 8) : send(&word, 8);
      best = std::min(best, since(begin) / 2);
    }
    return std::max(best, 1e-7);
  }

  // One direction, longer and longer until the time is well above the latency.
  double bandwidth() {
    constexpr int64_t kLargest = 64 << 20;
    double result = 0;
    for (int64_t bytes = 256 << 10; bytes <= kLargest; bytes *= 4) {
      std::vector<std::byte> data(static_cast<size_t>(bytes));
      int64_t word = 0;
      const auto begin = Clock::now();
      first() ? send(data.data(), bytes) : receive(data.data(), bytes);
      first() ? receive(&word, 8) : send(&word, 8);
      double seconds = since(begin);
      result = static_cast<double>(bytes) / seconds;
      // Both sides go by the first one's clock.
      first() ? send(&seconds, 8) : receive(&seconds, 8);
      if (seconds * 5 > budget_) break;
    }
    return result;
  }

  const Communicator& comm_;
  Pair pair_;
  double budget_;
};

// A damaged file is as good as none.
std::optional<Topology> readable(const std::string& line) {
  try {
    return topology_from_text(line);
  } catch (const InvalidArgument&) {
    return std::nullopt;
  }
}

std::optional<Topology> cached(const std::string& path, std::span<const int> nodes) {
  std::ifstream file(path);
  std::string line;
  if (!file || !std::getline(file, line)) return std::nullopt;
  std::optional<Topology> topology = readable(line);
  if (!topology) return std::nullopt;
  if (!std::equal(nodes.begin(), nodes.end(), topology->node_of.begin(), topology->node_of.end()))
    return std::nullopt;
  return topology;
}

void store(const std::string& path, const Topology& topology) {
  std::ofstream file(path);
  file << to_text(topology) << '\n';
  if (!file) throw IoError(concat("cannot write the measured topology to ", path));
}

}  // namespace

Topology measure_topology(const Communicator& communicator, const MeasureOptions& options) {
  const auto nodes = communicator.nodes();
  Topology topology{.node_of = {nodes.begin(), nodes.end()}, .inside = {}, .between = {}};
  std::array<double, 5> known{};
  if (communicator.rank() == 0 && !options.cache_path.empty()) {
    if (const auto found = cached(options.cache_path, nodes))
      known = {1, found->inside.bytes_per_s, found->inside.latency_s, found->between.bytes_per_s,
               found->between.latency_s};
  }
  communicator.broadcast(known.data(), 5, DType::f64, 0).wait();
  if (known[0] > 0) {
    topology.inside = {.bytes_per_s = known[1], .latency_s = known[2]};
    topology.between = {.bytes_per_s = known[3], .latency_s = known[4]};
    return topology;
  }
  const auto inside = find_pair(nodes, true), between = find_pair(nodes, false);
  if (inside) topology.inside = PairMeter(communicator, *inside, options.seconds).measure();
  communicator.barrier().wait();
  if (between) topology.between = PairMeter(communicator, *between, options.seconds).measure();
  if (!between) topology.between = topology.inside;
  if (!inside && between) topology.inside = topology.between;
  topology = quantised(topology);
  if (communicator.rank() == 0 && !options.cache_path.empty()) store(options.cache_path, topology);
  return topology;
}

}  // namespace hecate::collectives
