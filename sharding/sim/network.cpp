#include "sharding/sim/network.h"

#include <algorithm>
#include <utility>

namespace hecate::sharding::sim {
namespace {

size_t at(int i) {
  return static_cast<size_t>(i);
}

// Less than this share of a resource counts as none.
constexpr double kNothing = 1e-9;

}  // namespace

Network::Network(const Resources& resources, Done done, int partial_devices)
    : resources_(resources), done_(std::move(done)), partial_devices_(partial_devices) {}

Network::Collective& Network::find(int number, const Traffic& traffic, bool urgent) {
  const auto place = std::ranges::lower_bound(
      active_, number, {}, [](const std::unique_ptr<Collective>& c) { return c->number; });
  if (place != active_.end() && (*place)->number == number) return **place;
  auto made = std::make_unique<Collective>();
  made->number = number;
  made->urgent = urgent;
  made->traffic = &traffic;
  made->state.resize(at(resources_.devices()));
  made->left.resize(resources_.count());
  const bool partial = !traffic.together() && resources_.devices() <= partial_devices_;
  if (partial) {
    made->absent.resize(at(resources_.devices()));
    for (int d = 0; d < resources_.devices(); ++d)
      made->absent[at(d)] = static_cast<int32_t>(traffic.flows->of(d).size());
  }
  return **active_.insert(place, std::move(made));
}

// What the rank's coming lets go.
void Network::add_flows(Collective& collective, int rank) const {
  const Traffic& traffic = *collective.traffic;
  for (const int32_t index : traffic.flows->of(rank)) {
    const Flow& flow = traffic.flows->flows()[static_cast<size_t>(index)];
    const int other = flow.source == rank ? flow.destination : flow.source;
    --collective.absent[at(other)];
    if (collective.state[at(other)] == 0) continue;
    const double bytes = flow.units * traffic.bytes_per_unit;
    traffic.reversed ? resources_.add(flow.destination, flow.source, bytes, collective.left)
                     : resources_.add(flow.source, flow.destination, bytes, collective.left);
    collective.busy = true;
  }
}

void Network::arrive(int number, const Traffic& traffic, bool urgent, int rank, double time) {
  settle(time);
  Collective& collective = find(number, traffic, urgent);
  collective.state[at(rank)] = 1;
  collective.last = rank;
  ++collective.here;
  if (!collective.absent.empty()) {
    add_flows(collective, rank);
  } else if (collective.here == resources_.devices()) {
    add_loads(traffic, resources_, collective.left);
    collective.busy = std::ranges::any_of(collective.left, [](double x) { return x > 0; });
  }
  if (collective.busy)
    share(time);
  else
    finish(collective, time);
}

double Network::next() const {
  double first = -1;
  for (const auto& collective : active_)
    if (collective->busy && collective->drains >= 0 && (first < 0 || collective->drains < first))
      first = collective->drains;
  return first;
}

void Network::advance(double time) {
  settle(time);
  bool any = false;
  for (size_t i = 0; i < active_.size();) {
    Collective& collective = *active_[i];
    if (collective.busy && collective.drains >= 0 && collective.drains <= time) {
      std::ranges::fill(collective.left, 0.0);
      collective.busy = false;
      any = true;
      const size_t before = active_.size();
      finish(collective, time);
      if (active_.size() < before) continue;
    }
    ++i;
  }
  if (any) share(time);
}

// Bytes that have gone since they were last counted.
void Network::settle(double time) {
  for (const auto& collective : active_) {
    if (!collective->busy || collective->drains < 0 || time <= collective->begun) continue;
    const double whole = collective->drains - collective->begun;
    const double kept = whole > 0 ? std::max(0.0, (collective->drains - time) / whole) : 0.0;
    for (double& bytes : collective->left) bytes *= kept;
    collective->begun = time;
  }
}

void Network::share(double time) {
  free_.assign(resources_.bytes_per_s().begin(), resources_.bytes_per_s().end());
  sharers_.assign(free_.size(), 0);
  const auto allot = [&](Collective& collective, bool takes) {
    double seconds = 0;
    for (size_t i = 0; i < free_.size() && seconds >= 0; ++i) {
      if (collective.left[i] <= 0) continue;
      const double part = takes ? free_[i] : free_[i] / sharers_[i];
      const bool none = part <= kNothing * resources_.bytes_per_s()[i];
      seconds = none ? -1 : std::max(seconds, collective.left[i] / part);
    }
    collective.begun = time;
    collective.drains = seconds < 0 ? -1 : time + seconds;
    if (!takes || seconds <= 0) return;
    for (size_t i = 0; i < free_.size(); ++i) free_[i] -= collective.left[i] / seconds;
  };
  for (const auto& collective : active_)
    if (collective->busy && collective->urgent) allot(*collective, true);
  for (const auto& collective : active_)
    if (collective->busy && !collective->urgent)
      for (size_t i = 0; i < free_.size(); ++i) sharers_[i] += collective->left[i] > 0 ? 1 : 0;
  for (const auto& collective : active_)
    if (collective->busy && !collective->urgent) allot(*collective, false);
}

// Ranks that have nothing more to wait for.
void Network::finish(Collective& collective, double time) {
  const bool all = collective.here == resources_.devices();
  if (collective.absent.empty() && !all) return;
  for (int rank = 0; rank < resources_.devices(); ++rank) {
    if (collective.state[at(rank)] != 1) continue;
    if (!collective.absent.empty() && collective.absent[at(rank)] > 0) continue;
    collective.state[at(rank)] = 2;
    ++collective.done;
    const bool moves = collective.absent.empty() || !collective.traffic->flows->of(rank).empty();
    done_(collective.number, rank, time + (moves ? collective.traffic->latency_s : 0),
          collective.last);
  }
  if (collective.done < resources_.devices()) return;
  std::erase_if(active_, [&](const auto& each) { return each.get() == &collective; });
}

}  // namespace hecate::sharding::sim
