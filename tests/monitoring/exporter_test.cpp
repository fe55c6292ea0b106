#include "monitoring/exporter.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "runtime/base/error.h"
#include "tests/monitoring/http.h"

namespace hecate::monitoring {
namespace {

using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

constexpr MetricFamily kLoss = {"hecate_loss", "Loss."};
constexpr MetricFamily kSteps = {"hecate_steps_total", "Steps.", MetricKind::counter};
const Address kAnyPort = parse_address("127.0.0.1:0");

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

class ExporterTest : public ::testing::Test {
 protected:
  void publish(double loss) {
    registry_->set(registry_->series(kLoss, {{"rank", "0"}}), loss);
    registry_->add(registry_->series(kSteps, {}), 1);
    registry_->publish();
  }

  std::shared_ptr<MetricRegistry> registry_ = std::make_shared<MetricRegistry>(
      RegistryOptions{.common = {{"run", "a \"b\"\n"}}, .warn = nullptr});
};

TEST_F(ExporterTest, ServesWhatIsPublished) {
  publish(2.5);
  const Exporter exporter(registry_, {.address = kAnyPort});
  EXPECT_GT(exporter.address().port, 0);
  const std::string text = scrape(exporter.address());
  EXPECT_THAT(text, HasSubstr("# TYPE hecate_loss gauge\n"));
  EXPECT_THAT(text, HasSubstr("hecate_loss{run=\"a \\\"b\\\"\\n\",rank=\"0\"} 2.5\n"));
  EXPECT_THAT(text,
              HasSubstr("# HELP hecate_steps_total Steps.\n# TYPE hecate_steps_total counter\n"));
  publish(std::numeric_limits<double>::quiet_NaN());
  EXPECT_THAT(scrape(exporter.address()), HasSubstr("rank=\"0\"} Nan\n"));
}

TEST_F(ExporterTest, OthersReachItOnlyWhereThatIsAllowed) {
  EXPECT_THROW(Exporter(registry_, {.address = parse_address("0.0.0.0:0")}), InvalidArgument);
  const Exporter exporter(registry_, {.address = parse_address("0.0.0.0:0"), .allow_remote = true});
  EXPECT_THAT(scrape(exporter.address()), HasSubstr("hecate_metrics_series"));
}

TEST_F(ExporterTest, ATakenPortIsNamedOrTheNextOneIsUsed) {
  const Exporter first(registry_, {.address = kAnyPort});
  try {
    const Exporter second(registry_, {.address = first.address()});
    FAIL() << "two on one port";
  } catch (const IoError& error) {
    EXPECT_THAT(error.what(), HasSubstr(first.address().text()));
    EXPECT_THAT(error.what(), HasSubstr("Address already in use"));
  }
  const Exporter next(registry_, {.address = first.address(), .port_tries = 50});
  EXPECT_GT(next.address().port, first.address().port);
  EXPECT_NE(scrape(next.address()), "");
  EXPECT_NE(scrape(first.address()), "");
}

// Steps of a training run meanwhile: what one costs at most, and how many there were.
class Steps {
 public:
  explicit Steps(MetricRegistry& registry)
      : thread_([this, &registry] {
          const SeriesId id = registry.series(kLoss, {});
          while (!stop_) {
            const auto begin = Clock::now();
            registry.set(id, 1);
            registry.publish();
            seconds_.push_back(since(begin));
            std::this_thread::sleep_for(std::chrono::microseconds(500));
          }
        }) {}
  /// The 99th percentile: on a machine that others use, the worst is theirs.
  double finish() {
    stop_ = true;
    thread_.join();
    std::ranges::sort(seconds_);
    return seconds_.at(seconds_.size() * 99 / 100);
  }
  size_t count() const { return seconds_.size(); }

 private:
  std::atomic<bool> stop_{false};
  std::vector<double> seconds_;
  std::thread thread_;
};

// A thousand idle connections, slow ones, ones that never read, and garbage, all at once.
TEST_F(ExporterTest, AnAttackDelaysNoStepAndIsOverWhenItEnds) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = std::min<rlim_t>(files.rlim_max, 8192);
  ::setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 2400) GTEST_SKIP() << "only " << files.rlim_cur << " open files";

  publish(1);
  const Exporter exporter(registry_, {.address = kAnyPort});
  Steps steps(*registry_);
  {
    std::vector<Connection> idle, slow;
    for (int i = 0; i < 1000; ++i) idle.emplace_back(exporter.address(), 0.2);
    std::mt19937 random(1);
    for (int i = 0; i < 20; ++i) {
      std::string garbage(1000, '\0');
      std::ranges::generate(garbage, [&] { return static_cast<char>(random()); });
      slow.emplace_back(exporter.address(), 0.2);
      slow.back().send(garbage);
      slow.emplace_back(exporter.address(), 0.2);
      slow.back().send("GET /metrics HTTP/1.1\r\nX: ");
      slow.emplace_back(exporter.address(), 0.2);
      slow.back().send("GET /metrics HTTP/1.1\r\n\r\n");
    }
    for (int drop = 0; drop < 15; ++drop) {
      for (const Connection& each : slow)
        if (each.open()) each.send("y");
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
  const auto ended = Clock::now();
  EXPECT_THAT(scrape(exporter.address(), 10), HasSubstr("hecate_loss"));
  EXPECT_LT(since(ended), 5);
  const double slowest = steps.finish();
  EXPECT_LT(slowest, 0.001);
  EXPECT_GT(steps.count(), 500u);
}

TEST_F(ExporterTest, GarbageIsRefusedAndNothingElseIsServed) {
  publish(1);
  const Exporter exporter(registry_, {.address = kAnyPort});
  for (const std::string& request :
       {std::string("\x16\x03\x01\x02\x01\n\n"), std::string("GET\r\n\r\n"),
        "GET /metrics HTTP/1.1\r\nX: " + std::string(100000, 'a') + "\r\n\r\n",
        std::string("GET /../../etc/passwd HTTP/1.1\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\n\r\n")}) {
    const Connection connection(exporter.address(), 3);
    connection.send(request);
    const std::string answer = connection.receive();
    EXPECT_THAT(answer, testing::Not(HasSubstr(" 200 "))) << request.substr(0, 40);
    EXPECT_THAT(answer, testing::Not(HasSubstr("root:")));
  }
  EXPECT_NE(scrape(exporter.address()), "");
}

}  // namespace
}  // namespace hecate::monitoring
