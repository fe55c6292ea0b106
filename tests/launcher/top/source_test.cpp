#include "launcher/top/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "launcher/run/run_directory.h"
#include "launcher/top/address.h"
#include "runtime/base/error.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launcher {
namespace {

using hecate::testing::message_of;
using hecate::testing::ScratchDirectory;
using monitoring::TopState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(AddressTest, HostAndPort) {
  EXPECT_EQ(parse_address("node-3:9464").host, "node-3");
  EXPECT_EQ(parse_address("[::1]:9464").host, "::1");
  EXPECT_EQ(parse_address("[::1]:9464").port, 9464);
  for (const char* text :
       {"", "host", ":1", "host:", "host:0", "host:65536", "host:1x", "a/b:1", "::1", "host:-1"})
    EXPECT_FALSE(is_address(text)) << text;
}

void wait_for(const httplib::Server& server) {
  while (!server.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

class RunFollowerTest : public ::testing::Test {
 protected:
  RunFollowerTest() : run_(RunDirectory::create(scratch_ / "run", "[train]\nsteps = 9\n")) {}
  void write(const std::string& text, std::ios::openmode mode = std::ios::app) const {
    std::ofstream(run_.steps(), std::ios::binary | mode) << text;
  }

  ScratchDirectory scratch_;
  RunDirectory run_;
  TopState state_;
};

TEST_F(RunFollowerTest, TakesLinesOnceTheyAreWhole) {
  const auto source = follow_run(run_.path().string());
  EXPECT_EQ(source->poll(state_), "waiting for the first step");
  EXPECT_EQ(state_.total_steps, 9);
  write("{\"step\":1,\"loss\":5}\n{\"step\":2,\"lo");
  EXPECT_EQ(source->poll(state_), "");
  EXPECT_EQ(state_.step, 1);
  write("ss\":4}\n{\"step\":2,\"eval_loss\":4.5}\n");
  EXPECT_EQ(source->poll(state_), "");
  EXPECT_EQ(state_.step, 2);
  EXPECT_EQ(state_.eval_loss, 4.5);
  EXPECT_THAT(state_.losses, ElementsAre(5, 4));
}

TEST_F(RunFollowerTest, ARunThatIsResumedGoesOnFromItsCheckpoint) {
  write("{\"step\":1,\"loss\":5}\n{\"step\":2,\"loss\":4}\n{\"step\":3,\"loss\":3}\n");
  const auto source = follow_run(run_.path().string());
  source->poll(state_);
  write("{\"step\":1,\"loss\":5}\n{\"step\":2,\"loss\":4.25}\n", std::ios::trunc);
  source->poll(state_);
  EXPECT_EQ(state_.step, 2);
  EXPECT_THAT(state_.losses, ElementsAre(5, 4.25));
}

TEST(TopSourceTest, AnythingElseIsNamed) {
  EXPECT_THAT(message_of<InvalidArgument>([] { open_top_source({"no/such/run"}); }),
              HasSubstr("'no/such/run' is no run directory and no HOST:PORT"));
  const ScratchDirectory scratch;
  EXPECT_THAT(message_of<InvalidArgument>([&] { open_top_source({scratch.path().string()}); }),
              HasSubstr("not a run directory"));
}

// An exporter of each rank.
class ScraperTest : public ::testing::Test {
 protected:
  ScraperTest() {
    server_.Get("/metrics", [](const httplib::Request&, httplib::Response& answer) {
      answer.set_content("hecate_steps_total 12\nhecate_loss 1.5\n", "text/plain");
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    wait_for(server_);
  }
  ~ScraperTest() override {
    server_.stop();
    thread_.join();
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  httplib::Server server_;
  int port_ = 0;
  std::thread thread_;
  TopState state_;
};

TEST_F(ScraperTest, ReadsAnExporter) {
  const auto source = open_top_source({address()});
  EXPECT_EQ(source->poll(state_), "");
  EXPECT_EQ(state_.step, 12);
  EXPECT_EQ(state_.loss, 1.5);
}

TEST_F(ScraperTest, ARankThatIsGoneIsNamedAnErrorOnceAllAre) {
  // Nobody listens on the port of a server that has been closed again.
  httplib::Server other;
  const std::string gone = "127.0.0.1:" + std::to_string(other.bind_to_any_port("127.0.0.1"));
  other.stop();
  const auto both = scrape_exporters({gone, address()});
  EXPECT_THAT(both->poll(state_), HasSubstr(gone + ": no answer"));
  EXPECT_EQ(state_.step, 12);
}

TEST_F(ScraperTest, AServerWithoutMetricsIsNoExporter) {
  httplib::Server empty;
  const int port = empty.bind_to_any_port("127.0.0.1");
  std::thread thread([&] { empty.listen_after_bind(); });
  wait_for(empty);
  const std::string where = "127.0.0.1:" + std::to_string(port);
  const auto source = scrape_exporters({where});
  EXPECT_THAT(message_of<CommError>([&] { source->poll(state_); }),
              HasSubstr(where + "/metrics: HTTP status 404"));
  empty.stop();
  thread.join();
}

}  // namespace
}  // namespace hecate::launcher
