#include "tests/scheduler/pbt/wire.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "runtime/base/error.h"

namespace hecate::pbt {
namespace {

double thread_seconds() {
  timespec spent{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
  return static_cast<double>(spent.tv_sec) + 1e-9 * static_cast<double>(spent.tv_nsec);
}

bool read_exactly(int socket, std::string& bytes) {
  size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t count = ::read(socket, bytes.data() + got, bytes.size() - got);
    if (count <= 0) return false;
    got += static_cast<size_t>(count);
  }
  return true;
}

}  // namespace

ScratchDirectory::ScratchDirectory() {
  static std::atomic<int> count{0};
  path_ = std::filesystem::temp_directory_path() / concat("hecate-pbt-", ::getpid(), "-", count++);
  std::filesystem::create_directories(path_);
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

CoordinatorOptions small_options(const ScratchDirectory& scratch, int64_t members) {
  CoordinatorOptions options;
  options.population.members = members;
  options.population.interval = 10;
  options.population.timeout_seconds = 5;
  population::DimensionConfig rate;
  rate.key = "rate";
  rate.min = 1e-3;
  rate.max = 1;
  options.population.search = {rate};
  options.steps = 40;
  options.seed = 1;
  options.journal = scratch.path() / "journal.jsonl";
  options.version = "1";
  options.directory = scratch.path().string();
  return options;
}

ServedPopulation::ServedPopulation(const CoordinatorOptions& options, uint16_t port)
    : coordinator_(std::make_unique<Coordinator>(options, std::chrono::steady_clock::now())),
      server_(std::make_unique<Server>(*coordinator_, Address{.host = "127.0.0.1", .port = port},
                                       options.token)),
      port_(server_->port()) {
  thread_ = std::thread([this] {
    while (!stopping_) {
      server_->run_for(std::chrono::milliseconds(20));
      cpu_seconds_ = thread_seconds();
    }
  });
}

ServedPopulation::~ServedPopulation() {
  stop();
}

const Coordinator& ServedPopulation::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  server_.reset();
  return *coordinator_;
}

double ServedPopulation::cpu_seconds() const {
  return cpu_seconds_;
}

Wire::Wire(uint16_t port) {
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval patience{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
}

Wire::~Wire() {
  ::close(socket_);
}

void Wire::send_bytes(const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t count = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return;
    sent += static_cast<size_t>(count);
  }
}

void Wire::send(const std::string& text, const std::string& blob) {
  send_bytes(encode({text, blob}));
}

std::optional<Message> Wire::receive() {
  std::string header(kHeaderBytes, '\0');
  if (!read_exactly(socket_, header)) return std::nullopt;
  const FrameHeader sizes = decode_header(header);
  Message message{std::string(sizes.text, '\0'), std::string(sizes.blob, '\0')};
  if (!read_exactly(socket_, message.text) || !read_exactly(socket_, message.blob))
    return std::nullopt;
  return message;
}

std::string Wire::ask(const std::string& text, const std::string& blob) {
  send(text, blob);
  const auto answer = receive();
  return answer ? answer->text : "";
}

std::string Wire::hello(const std::string& worker, const std::string& version,
                        const std::string& token) {
  return ask(nlohmann::json(
                 {{"type", "hello"}, {"worker", worker}, {"version", version}, {"token", token}})
                 .dump());
}

}  // namespace hecate::pbt
