#include "monitoring/push_gateway.h"

#include <gmock/gmock.h>

#include <chrono>
#include <memory>
#include <thread>

#include "runtime/base/error.h"
#include "tests/monitoring/http.h"

namespace hecate::monitoring {
namespace {

using ::testing::HasSubstr;

constexpr MetricFamily kLoss = {"hecate_loss", "Loss."};
constexpr const char* kAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

std::shared_ptr<MetricRegistry> registry_with(double loss) {
  auto registry = std::make_shared<MetricRegistry>();
  registry->set(registry->series(kLoss, {}), loss);
  registry->publish();
  return registry;
}

TEST(PushGatewayTest, PushesTheLastValuesWhenItGoes) {
  TinyServer server;
  const auto registry = registry_with(1);
  std::string request;
  {
    PushGateway gateway(registry, {.address = server.address().text(),
                                   .group = {{"instance", "run a/b"}, {"rank", "0"}},
                                   .every_seconds = 1000});
    registry->set(registry->series(kLoss, {}), 0.125);
    registry->publish();
    std::thread answering([&] { request = server.take(kAnswer); });
    gateway.finish();
    answering.join();
    EXPECT_EQ(gateway.problem(), "");
  }
  EXPECT_THAT(request, HasSubstr("/metrics/job/hecate/instance/run_a_b/rank/0 HTTP/1.1"));
  EXPECT_THAT(request, HasSubstr("hecate_loss 0.125"));
}

TEST(PushGatewayTest, PushesNowAndThen) {
  TinyServer server;
  PushGateway gateway(registry_with(7), {.address = server.address().text(),
                                         .group = {{"instance", "a"}},
                                         .every_seconds = 0.05,
                                         .patience_seconds = 0.2});
  for (int i = 0; i < 3; ++i) EXPECT_THAT(server.take(kAnswer), HasSubstr("hecate_loss 7"));
}

TEST(PushGatewayTest, NobodyThereIsSaidAndHoldsNobodyUp) {
  const int port = TinyServer().address().port;  // closed again
  const std::string address = concat("127.0.0.1:", port);
  PushGateway gateway(registry_with(1), {.address = address, .group = {}, .every_seconds = 1000});
  gateway.finish();
  EXPECT_THAT(gateway.problem(), HasSubstr(address));
  EXPECT_THROW(PushGateway(registry_with(1), {.address = "nowhere", .group = {}}), InvalidArgument);
}

TEST(PushGatewayTest, OneThatNeverAnswersCostsNoMoreThanThePatience) {
  TinyServer server;
  PushGateway gateway(registry_with(1), {.address = server.address().text(),
                                         .group = {},
                                         .every_seconds = 1000,
                                         .patience_seconds = 0.3});
  std::thread silent([&] { server.take(""); });
  const auto begin = std::chrono::steady_clock::now();
  gateway.finish();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  EXPECT_THAT(gateway.problem(), HasSubstr("no answer after 0.3 s"));
  silent.join();
}

}  // namespace
}  // namespace hecate::monitoring
