#include "benchmarks/schedules/river_valley.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "runtime/base/rng.h"
#include "scheduler/factory.h"

namespace hecate::benchmarks {
namespace {

constexpr size_t kStates = 20, kTokens = 10, kBatch = 8, kDeterministic = kStates / 2;

using Row = std::array<double, kTokens>;
using Table = std::array<Row, kStates>;

// A seed's states, their true distributions and the draws from them.
class World {
 public:
  explicit World(uint64_t seed)
      : states_(seed, stream_of("states")), tokens_(seed, stream_of("tokens")) {
    const CounterRng draws(seed, stream_of("distributions"));
    uint64_t index = 0;
    for (size_t s = 0; s < kStates; ++s) {
      Row& p = truth_[s];
      if (s < kDeterministic) {
        p[draws.below(index++, kTokens)] = 1;
        continue;
      }
      double sum = 0;
      for (double& each : p) sum += each = 0.05 - std::log(1 - draws.uniform(index++));
      for (double& each : p) each /= sum;
    }
  }

  const Table& truth() const { return truth_; }
  size_t state(uint64_t sample) const { return states_.below(sample, kStates); }
  size_t token(uint64_t sample, size_t state) const {
    double left = tokens_.uniform(sample);
    size_t token = 0;
    while (token + 1 < kTokens && left >= truth_[state][token]) left -= truth_[state][token++];
    return token;
  }

 private:
  Table truth_{};
  CounterRng states_, tokens_;
};

using Batch = std::array<std::pair<size_t, size_t>, kBatch>;  // (state, next token)

Row softmax(const Row& logits) {
  Row p;
  double sum = 0;
  for (size_t v = 0; v < kTokens; ++v) sum += p[v] = std::exp(logits[v]);
  for (double& each : p) each /= sum;
  return p;
}

// All gradients are those of the logits before the update.
void update(Table& logits, const Batch& batch, double rate) {
  std::array<Row, kBatch> p;
  for (size_t i = 0; i < kBatch; ++i) p[i] = softmax(logits[batch[i].first]);
  for (size_t i = 0; i < kBatch; ++i) {
    const auto& [state, token] = batch[i];
    for (size_t v = 0; v < kTokens; ++v)
      logits[state][v] += rate / kBatch * ((v == token ? 1.0 : 0.0) - p[i][v]);
  }
}

ExcessLoss excess_loss(const Table& truth, const Table& logits) {
  ExcessLoss loss;
  for (size_t s = 0; s < kStates; ++s) {
    const Row p = softmax(logits[s]);
    double sum = 0;
    for (size_t v = 0; v < kTokens; ++v)
      if (truth[s][v] > 0) sum += truth[s][v] * std::log(truth[s][v] / p[v]);
    (s < kDeterministic ? loss.deterministic : loss.uncertain) += sum / kDeterministic;
  }
  return loss;
}

void train_one(const World& world, const std::vector<Course>& courses,
               const std::vector<int64_t>& steps, double weight,
               std::vector<std::vector<ExcessLoss>>& sums) {
  std::vector<Table> logits(courses.size());
  size_t next = 0;
  for (int64_t step = 0; next < steps.size(); ++step) {
    for (; next < steps.size() && steps[next] == step; ++next)
      for (size_t c = 0; c < courses.size(); ++c) {
        if (std::ssize(courses[c].rates) < step) continue;
        const ExcessLoss loss = excess_loss(world.truth(), logits[c]);
        sums[c][next].deterministic += weight * loss.deterministic;
        sums[c][next].uncertain += weight * loss.uncertain;
      }
    Batch batch;
    for (size_t i = 0; i < kBatch; ++i) {
      const uint64_t sample = static_cast<uint64_t>(step) * kBatch + i;
      const size_t state = world.state(sample);
      batch[i] = {state, world.token(sample, state)};
    }
    for (size_t c = 0; c < courses.size(); ++c)
      if (step < std::ssize(courses[c].rates))
        update(logits[c], batch, courses[c].rates[static_cast<size_t>(step)]);
  }
}

Course made(const std::string& name, const std::string& kind,
            const scheduler::ScheduleParameters& parameters, int64_t steps) {
  return course_of(name, *scheduler::make_schedule(kind, parameters), steps);
}

}  // namespace

Course course_of(const std::string& name, const scheduler::Schedule& schedule, int64_t steps) {
  Course course{.name = name, .rates = {}};
  for (int64_t step = 0; step < steps; ++step)
    course.rates.push_back(scheduler::rate_of_update(schedule, static_cast<double>(step),
                                                     static_cast<double>(step + 1)));
  return course;
}

std::vector<std::vector<ExcessLoss>> train_river_valley(const std::vector<Course>& courses,
                                                        const std::vector<int64_t>& steps,
                                                        int64_t seeds) {
  std::vector<std::vector<ExcessLoss>> means(courses.size(), std::vector<ExcessLoss>(steps.size()));
  for (int64_t seed = 0; seed < seeds; ++seed)
    train_one(World(static_cast<uint64_t>(seed)), courses, steps, 1.0 / static_cast<double>(seeds),
              means);
  return means;
}

std::vector<Course> published_courses() {
  scheduler::ScheduleParameters peak;
  peak.peak = 1;
  peak.floor_ratio = 0.1;
  peak.total = 2000;
  peak.decay_shape = "inverse";
  peak.end_points = {500, 1000, 2000};
  const auto wsd = [&](double steps) {
    scheduler::ScheduleParameters parameters = peak;
    parameters.total = steps;
    parameters.decay = 0.1 * steps;
    return made("wsd " + std::to_string(std::lround(steps)), "wsd", parameters, std::lround(steps));
  };
  return {made("constant", "constant", peak, 2000),
          wsd(2000),
          made("wsd_s", "wsd_s", peak, 2000),
          made("cyclic cosine", "cyclic_cosine", peak, 2000),
          wsd(500),
          wsd(950),
          wsd(1855)};
}

}  // namespace hecate::benchmarks
