#include <algorithm>
#include <atomic>
#include <chrono>
#include <iostream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "launcher/bench/machine.h"
#include "launcher/config/run_config.h"
#include "launcher/train/setup.h"
#include "launcher/train/step_metrics.h"
#include "monitoring/exporter.h"
#include "runtime/base/rng.h"
#include "tests/monitoring/http.h"

/// metrics_cost SERIES STEPS FILE [KEY=VALUE...]: what live metrics cost beside the steps that they
/// are of, in one run on one process, while something scrapes ten times a second. The
/// configuration's own series are filled up to SERIES with others that every step sets. One JSON
/// object.
namespace hecate::launcher {
namespace {

using Clock = std::chrono::steady_clock;

constexpr MetricFamily kFiller = {"hecate_filler", "Makes up the number."};
constexpr int64_t kWarmUp = 5;

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void fill_random(Batch& batch, int64_t vocabulary, uint64_t step) {
  const CounterRng rng(step, stream_of("bench.tokens"));
  for (int64_t i = 0; i < batch.tokens(); ++i) {
    const auto at = static_cast<uint64_t>(2 * i), ids = static_cast<uint64_t>(vocabulary);
    batch.tokens_at(0)[i] = static_cast<int32_t>(rng.below(at, ids));
    batch.targets_at(0)[i] = static_cast<int32_t>(rng.below(at + 1, ids));
  }
}

// Scrapes until the object goes.
class Scraper {
 public:
  explicit Scraper(const monitoring::Address& address)
      : thread_([this, address] {
          while (!stop_) {
            const auto begin = Clock::now();
            bytes_ = std::ssize(monitoring::scrape(address));
            seconds_ += since(begin);
            ++scrapes_;
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
          }
        }) {}
  void stop() {
    stop_ = true;
    thread_.join();
  }
  nlohmann::ordered_json report() const {
    return {{"scrapes", scrapes_}, {"bytes", bytes_}, {"mean_seconds", seconds_ / scrapes_}};
  }

 private:
  std::atomic<bool> stop_{false};
  int64_t bytes_ = 0;
  double seconds_ = 0;
  int scrapes_ = 0;
  std::thread thread_;
};

int run(int64_t series, int64_t steps, const RunConfig& config) {
  Engine engine(engine_options(config));
  const auto registry = std::make_shared<monitoring::MetricRegistry>(
      monitoring::RegistryOptions{.common = {{"run", "cost"}}, .warn = nullptr});
  const monitoring::Exporter exporter(registry,
                                      {.address = monitoring::parse_address("127.0.0.1:0")});
  StepMetrics metrics(*registry, {.per_expert = true});
  std::vector<SeriesId> fillers;
  Scraper scraper(exporter.address());
  double step_seconds = 0, metric_seconds = 0, worst = 0;
  int64_t own = 0;
  for (int64_t step = 0; step < kWarmUp + steps; ++step) {
    fill_random(engine.batch(), config.model.vocabulary, static_cast<uint64_t>(step));
    const StepResult result =
        engine.train_step(step, 1e-3, std::numeric_limits<double>::infinity());
    const auto begin = Clock::now();
    for (size_t i = 0; i < fillers.size(); ++i)
      registry->set(fillers[i], static_cast<double>(step) + static_cast<double>(i));
    metrics.write({.step = step + 1,
                   .tokens = (step + 1) * result.tokens,
                   .rate = 1e-3,
                   .result = &result,
                   .statistics = &engine.statistics(),
                   .peak_bytes = engine.peak_bytes()});
    const double seconds = since(begin);
    if (step == 0) {
      own = static_cast<int64_t>(registry->read().families().front().samples.front().value);
      for (int64_t i = own; i < series; ++i)
        fillers.push_back(registry->series(kFiller, {{"i", std::to_string(i)}}));
    }
    if (step < kWarmUp) continue;
    step_seconds += result.seconds;
    metric_seconds += seconds;
    worst = std::max(worst, seconds);
  }
  scraper.stop();
  const auto per_step = static_cast<double>(steps);
  std::cout << nlohmann::ordered_json{{"cpu", cpu_name()},
                                      {"series", own + std::ssize(fillers)},
                                      {"own_series", own},
                                      {"steps", steps},
                                      {"step_seconds", step_seconds / per_step},
                                      {"metric_seconds", metric_seconds / per_step},
                                      {"worst_metric_seconds", worst},
                                      {"ratio", metric_seconds / step_seconds},
                                      {"scraper", scraper.report()}}
                   .dump()
            << std::endl;
  return 0;
}

}  // namespace
}  // namespace hecate::launcher

int main(int argc, char** argv) {
  using namespace hecate;
  try {
    HECATE_CHECK(argc >= 4, "usage: metrics_cost SERIES STEPS FILE [KEY=VALUE...]");
    config::Settings settings;
    settings.add_file(argv[3]);
    for (int i = 4; i < argc; ++i) settings.add_override(argv[i]);
    return launcher::run(std::stoll(argv[1]), std::stoll(argv[2]),
                         launcher::load_run_config(settings, {"data"}));
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
