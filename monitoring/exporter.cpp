#include "monitoring/exporter.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <prometheus/collectable.h>
#include <prometheus/exposer.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "monitoring/blocked_signals.h"
#include "monitoring/collectable.h"
#include "runtime/base/error.h"

namespace hecate::monitoring {
namespace {

constexpr std::chrono::milliseconds kKnockInterval{20};

// @return its length.
socklen_t socket_address(const Address& address, sockaddr_storage& storage) {
  if (address.ipv6()) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(static_cast<uint16_t>(address.port));
    ::inet_pton(AF_INET6, address.host.c_str(), &in6->sin6_addr);
    return sizeof(sockaddr_in6);
  }
  auto* in4 = reinterpret_cast<sockaddr_in*>(&storage);
  in4->sin_family = AF_INET;
  in4->sin_port = htons(static_cast<uint16_t>(address.port));
  ::inet_pton(AF_INET, address.host.c_str(), &in4->sin_addr);
  return sizeof(sockaddr_in);
}

// Why nothing can listen there; 0 if it can. The library does not say.
int listen_error(const Address& address) {
  sockaddr_storage storage{};
  const socklen_t length = socket_address(address, storage);
  const int probe = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return errno;
  const int on = 1;
  ::setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  int error = 0;
  if (::bind(probe, reinterpret_cast<sockaddr*>(&storage), length) != 0 || ::listen(probe, 1) != 0)
    error = errno;
  ::close(probe);
  return error;
}

// A connection that asks for nothing.
void knock(const Address& address) {
  sockaddr_storage storage{};
  const socklen_t length = socket_address(address, storage);
  const int visitor = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (visitor < 0) return;
  // Under way, mostly: the library closes it when it looks.
  static_cast<void>(::connect(visitor, reinterpret_cast<sockaddr*>(&storage), length));
  ::close(visitor);
}

std::vector<std::string> server_options(const Address& address) {
  return {"listening_ports",    address.text(), "num_threads",       "16",
          "request_timeout_ms", "1000",         "linger_timeout_ms", "100",
          "enable_keep_alive",  "no",           "max_request_size",  "4096",
          "listen_backlog",     "1024",         "tcp_nodelay",       "1"};
}

}  // namespace

struct Exporter::Server {
  std::shared_ptr<prometheus::Collectable> collectable;
  prometheus::Exposer exposer;

  Server(std::shared_ptr<prometheus::Collectable> metrics, const Address& address)
      : collectable(std::move(metrics)), exposer(server_options(address)) {
    exposer.RegisterCollectable(collectable);
  }
};

Exporter::Exporter(const std::shared_ptr<const MetricRegistry>& registry,
                   const ExporterOptions& options)
    : address_(options.address) {
  check_local(address_, options.allow_remote);
  const BlockedSignals blocked;
  std::string reason;
  for (int i = 0; i < options.port_tries && !server_; ++i) {
    Address tried = options.address;
    if (tried.port > 0) tried.port += i;
    if (tried.port > 65535) break;
    if (const int error = listen_error(tried); error != 0) {
      reason = std::strerror(error);
      continue;
    }
    try {
      server_ = std::make_unique<Server>(make_collectable(registry), tried);
      address_ = tried;
      address_.port = server_->exposer.GetListeningPorts().at(0);
    } catch (const std::exception& error) {
      reason = error.what();
    }
  }
  if (server_) return;
  std::string where = options.address.text();
  if (options.port_tries > 1)
    where += concat(" and the ", options.port_tries - 1, " ports after it");
  throw IoError(concat("metrics: ", where, ": ", reason));
}

// The library looks up from waiting for connections every two seconds; some make it look at once.
Exporter::~Exporter() {
  std::atomic<bool> gone{false};
  const BlockedSignals blocked;
  std::thread knocking([&] {
    while (!gone) {
      knock(address_);
      std::this_thread::sleep_for(kKnockInterval);
    }
  });
  server_.reset();
  gone = true;
  knocking.join();
}

}  // namespace hecate::monitoring
