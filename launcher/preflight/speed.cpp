#include "launcher/preflight/speed.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <iomanip>
#include <sstream>

#include "launcher/preflight/identity.h"
#include "runtime/base/error.h"
#include "runtime/device/stream.h"
#include "runtime/device/thread_pool.h"
#include "runtime/kernels/gemm.h"

namespace hecate::launcher {
namespace {

using collectives::Communicator;
using Clock = std::chrono::steady_clock;

constexpr int64_t kMatrix = 384;
constexpr int64_t kFirstBytes = 256 << 10, kLastBytes = 16 << 20;
constexpr double kLongEnough = 0.02;  // an exchange, to be well above its latency
constexpr int kRounds = 2;
constexpr size_t kHostBytes = 64;

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double product_rate(const SpeedOptions& options) {
  if (options.pace_flops_per_s > 0) return options.pace_flops_per_s;
  ThreadPool pool(options.threads);
  CpuStream stream(pool);
  const std::vector<Real> a(static_cast<size_t>(kMatrix * kMatrix), Real{1}), b = a;
  std::vector<Real> c(a.size());
  const auto product = [&] {
    kernels::gemm(stream, kernels::Transpose::no, kernels::Transpose::yes, 1,
                  View<const Real>(a.data(), {kMatrix, kMatrix}),
                  View<const Real>(b.data(), {kMatrix, kMatrix}), 0,
                  View<Real>(c.data(), {kMatrix, kMatrix}));
    stream.synchronize();
  };
  product();
  const auto begin = Clock::now();
  int64_t count = 0;
  do {
    product();
    ++count;
  } while (since(begin) < options.seconds);
  return 2.0 * static_cast<double>(kMatrix * kMatrix * kMatrix * count) / since(begin);
}

// Seconds of the slowest rank.
double largest(const Communicator& comm, double seconds) {
  comm.all_reduce(&seconds, &seconds, 1, DType::f64, collectives::ReduceOp::max).wait();
  return seconds;
}

// All ranks exchange at once, more and more until that takes long enough.
double exchange_rate(const Communicator& comm, int round) {
  std::vector<int> sources;
  for (int rank = 0; rank < comm.size(); ++rank)
    if (exchange_partner(comm.nodes(), rank, round) == comm.rank()) sources.push_back(rank);
  const int target = exchange_partner(comm.nodes(), comm.rank(), round);
  std::vector<std::byte> out, in;
  for (int64_t bytes = kFirstBytes;; bytes *= 4) {
    const auto size = static_cast<size_t>(bytes);
    out.resize(size);
    in.resize(size * sources.size());
    const collectives::Send sends[] = {{target, out.data(), bytes}};
    std::vector<collectives::Receive> receives;
    for (size_t i = 0; i < sources.size(); ++i)
      receives.push_back({sources[i], in.data() + i * size, bytes});
    comm.barrier().wait();
    const auto begin = Clock::now();
    comm.exchange(sends, receives).wait();
    const double seconds = since(begin);
    if (largest(comm, seconds) >= kLongEnough || bytes >= kLastBytes)
      return static_cast<double>(bytes) / seconds;
  }
}

std::string host_name() {
  std::array<char, kHostBytes> name{};
  ::gethostname(name.data(), name.size() - 1);
  return name.data();
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Measure {
  const char* name;
  const char* unit;
  double scale;
  double RankSpeed::*value;
};
constexpr Measure kMeasures[] = {
    {"matrix products", "GFLOP/s", 1e9, &RankSpeed::flops_per_s},
    {"link", "GB/s", 1e9, &RankSpeed::bytes_per_s},
};

std::vector<double> values_of(std::span<const RankSpeed> ranks, const Measure& measure) {
  std::vector<double> values;
  for (const RankSpeed& rank : ranks) values.push_back(rank.*measure.value);
  return values;
}

std::string number(double value) {
  std::ostringstream out;
  out << std::setprecision(3) << value;
  return out.str();
}

std::string shown(const RankSpeed& rank, size_t index, const Measure& measure) {
  return concat("rank ", index, " on ", rank.host, " ",
                number(rank.*measure.value / measure.scale));
}

}  // namespace

int exchange_rounds(std::span<const int> nodes) {
  const int count = *std::max_element(nodes.begin(), nodes.end()) + 1;
  const int others = (count > 1 ? count : static_cast<int>(nodes.size())) - 1;
  return std::min(others, kRounds);
}

int exchange_partner(std::span<const int> nodes, int rank, int round) {
  const int ranks = static_cast<int>(nodes.size());
  const int count = *std::max_element(nodes.begin(), nodes.end()) + 1;
  if (count == 1) return (rank + round + 1) % ranks;
  const int own = nodes[static_cast<size_t>(rank)], other = (own + round + 1) % count;
  std::vector<int> there;
  for (int each = 0; each < ranks; ++each)
    if (nodes[static_cast<size_t>(each)] == other) there.push_back(each);
  const auto place = std::count(nodes.begin(), nodes.begin() + rank, own);
  return there[static_cast<size_t>(place) % there.size()];
}

std::vector<RankSpeed> measure_speed(const Communicator& comm, const SpeedOptions& options) {
  comm.barrier().wait();
  std::array<double, 2> own = {product_rate(options), 0};
  for (int round = 0; round < exchange_rounds(comm.nodes()); ++round)
    own[1] = std::max(own[1], exchange_rate(comm, round));
  const auto ranks = static_cast<size_t>(comm.size());
  std::vector<double> all(ranks * own.size());
  comm.all_gather(own.data(), all.data(), std::ssize(own), DType::f64).wait();
  std::string host = host_name();
  host.resize(kHostBytes, '\0');
  std::string hosts(ranks * kHostBytes, '\0');
  comm.all_gather(host.data(), hosts.data(), kHostBytes, DType::u8).wait();
  std::vector<RankSpeed> speeds;
  for (size_t rank = 0; rank < ranks; ++rank)
    speeds.push_back({.flops_per_s = all[2 * rank],
                      .bytes_per_s = all[2 * rank + 1],
                      .host = hosts.data() + rank * kHostBytes});
  return speeds;
}

std::string speed_summary(std::span<const RankSpeed> ranks) {
  std::string text;
  for (const Measure& measure : kMeasures) {
    const std::vector<double> values = values_of(ranks, measure);
    const auto slowest = std::min_element(values.begin(), values.end());
    if (*slowest == 0) continue;
    const auto index = static_cast<size_t>(slowest - values.begin());
    text += concat(text.empty() ? "" : "; ", measure.name, ": median ",
                   number(median(values) / measure.scale), ", slowest ",
                   shown(ranks[index], index, measure), ' ', measure.unit);
  }
  return text;
}

std::string slow_ranks(std::span<const RankSpeed> ranks, double share) {
  std::string text;
  for (const Measure& measure : kMeasures) {
    const std::vector<double> values = values_of(ranks, measure);
    const double limit = share * median(values);
    for (size_t rank = 0; rank < ranks.size(); ++rank)
      if (values[rank] < limit)
        text +=
            concat(text.empty() ? "" : "; ", measure.name, ": ", shown(ranks[rank], rank, measure),
                   " of ", number(median(values) / measure.scale), ' ', measure.unit);
  }
  return text;
}

}  // namespace hecate::launcher
