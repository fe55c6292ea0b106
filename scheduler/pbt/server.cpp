#include "scheduler/pbt/server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <deque>
#include <map>

#include "runtime/base/error.h"

namespace hecate::pbt {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Failure = boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTick{100};
constexpr size_t kMostConnections = 4096;
constexpr size_t kMostQueued = 64u << 20;  // bytes for a peer that does not read

/// One peer. Kept alive by its operations.
class Peer : public std::enable_shared_from_this<Peer> {
 public:
  struct Owner {
    virtual ~Owner() = default;
    virtual FrameLimits limits(uint64_t peer) = 0;
    virtual void message(uint64_t peer, const Message& message) = 0;
    virtual void malformed(uint64_t peer, const std::string& reason) = 0;
    virtual void gone(uint64_t peer) = 0;
  };

  Peer(tcp::socket socket, uint64_t id, Owner& owner)
      : socket_(std::move(socket)), id_(id), owner_(&owner) {
    Failure ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
  }

  void read() {
    asio::async_read(socket_, asio::buffer(header_),
                     [self = shared_from_this()](Failure failure, size_t) {
                       failure ? self->end() : self->read_body();
                     });
  }

  void send(const Message& message, bool close) {
    if (ended_) return;
    std::string bytes = encode(message);
    queued_ += bytes.size();
    if (queued_ > kMostQueued) return end();
    queue_.push_back(std::move(bytes));
    closing_ = closing_ || close;
    if (queue_.size() == 1) write();
  }

  void end() {
    if (std::exchange(ended_, true)) return;
    Failure ignored;
    socket_.close(ignored);
    if (owner_ != nullptr) owner_->gone(id_);
  }

  void forget_owner() { owner_ = nullptr; }

 private:
  void read_body() {
    if (ended_ || owner_ == nullptr) return;
    FrameHeader header;
    try {
      header = decode_header({header_.data(), header_.size()}, owner_->limits(id_));
    } catch (const InvalidArgument& error) {
      return owner_->malformed(id_, error.what());  // and no further read
    }
    message_.text.resize(header.text);
    message_.blob.resize(header.blob);
    const std::array<asio::mutable_buffer, 2> buffers = {asio::buffer(message_.text),
                                                         asio::buffer(message_.blob)};
    asio::async_read(socket_, buffers, [self = shared_from_this()](Failure failure, size_t) {
      if (failure) return self->end();
      if (self->ended_ || self->owner_ == nullptr) return;
      self->owner_->message(self->id_, self->message_);
      self->read();
    });
  }

  void write() {
    asio::async_write(socket_, asio::buffer(queue_.front()),
                      [self = shared_from_this()](Failure failure, size_t) {
                        if (failure || self->ended_) return self->end();
                        self->queued_ -= self->queue_.front().size();
                        self->queue_.pop_front();
                        if (!self->queue_.empty()) return self->write();
                        if (self->closing_) self->end();
                      });
  }

  tcp::socket socket_;
  uint64_t id_;
  Owner* owner_;
  std::array<char, kHeaderBytes> header_{};
  Message message_;
  std::deque<std::string> queue_;
  size_t queued_ = 0;
  bool closing_ = false, ended_ = false;
};

}  // namespace

Address parse_address(const std::string& text) {
  const size_t colon = text.rfind(':');
  Address address;
  if (colon != std::string::npos) {
    address.host = text.substr(0, colon);
    if (address.host.size() > 2 && address.host.front() == '[' && address.host.back() == ']')
      address.host = address.host.substr(1, address.host.size() - 2);
    const char* const begin = text.data() + colon + 1;
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(begin, end, address.port);
    if (parsed.ec == std::errc{} && parsed.ptr == end && begin != end && !address.host.empty())
      return address;
  }
  throw InvalidArgument(concat("address '", text, "': expected HOST:PORT, as 127.0.0.1:7777"));
}

class Server::Impl final : public Peer::Owner {
 public:
  Impl(Coordinator& coordinator, const Address& address, const std::string& token)
      : coordinator_(coordinator), acceptor_(context_), timer_(context_) {
    listen(address, token);
    accept();
    tick();
  }
  ~Impl() override {
    for (auto& [id, peer] : peers_) peer->forget_owner();
  }

  uint16_t port() const { return acceptor_.local_endpoint().port(); }

  void run_for(std::chrono::milliseconds duration) {
    context_.restart();
    context_.run_for(duration);
  }

  FrameLimits limits(uint64_t peer) override { return coordinator_.limits(peer); }
  void message(uint64_t peer, const Message& message) override {
    coordinator_.received(peer, message, Clock::now());
    commit_soon();
  }
  void malformed(uint64_t peer, const std::string& reason) override {
    coordinator_.refuse(peer, reason);
    commit_soon();
  }
  void gone(uint64_t peer) override {
    coordinator_.closed(peer, Clock::now());
    peers_.erase(peer);
    commit_soon();
  }

 private:
  void listen(const Address& address, const std::string& token) {
    Failure failure;
    tcp::resolver resolver(context_);
    const auto found = resolver.resolve(address.host, std::to_string(address.port),
                                        tcp::resolver::passive, failure);
    if (failure || found.empty())
      throw CommError(concat("cannot listen on ", address.host, ": ", failure.message()));
    const tcp::endpoint endpoint = found.begin()->endpoint();
    HECATE_CHECK(endpoint.address().is_loopback() || !token.empty(), "listening on ", address.host,
                 " lets other machines in: give controller and workers the same secret in "
                 "HECATE_PBT_TOKEN, or listen on 127.0.0.1");
    try {
      acceptor_.open(endpoint.protocol());
      acceptor_.set_option(tcp::acceptor::reuse_address(true));
      acceptor_.bind(endpoint);
      acceptor_.listen();
    } catch (const boost::system::system_error& error) {
      throw CommError(concat("cannot listen on ", address.host, ":", address.port, ": ",
                             error.code().message()));
    }
  }

  void accept() {
    acceptor_.async_accept([this](Failure failure, tcp::socket socket) {
      if (failure == asio::error::operation_aborted) return;
      if (!failure && peers_.size() < kMostConnections) {
        const uint64_t id = ++last_id_;
        const auto peer = std::make_shared<Peer>(std::move(socket), id, *this);
        peers_[id] = peer;
        coordinator_.opened(id, Clock::now());
        peer->read();
      }
      accept();
    });
  }

  void tick() {
    timer_.expires_after(kTick);
    timer_.async_wait([this](Failure failure) {
      if (failure) return;
      coordinator_.tick(Clock::now());
      commit_soon();
      tick();
    });
  }

  // One write to disk for all messages that are there.
  void commit_soon() {
    if (std::exchange(committing_, true)) return;
    asio::post(context_, [this] {
      committing_ = false;
      for (const Coordinator::Reply& reply : coordinator_.commit()) {
        const auto peer = peers_.find(reply.to);
        if (peer == peers_.end()) continue;
        const std::shared_ptr<Peer> kept = peer->second;  // sending may end it
        kept->send(reply.message, reply.close);
      }
    });
  }

  Coordinator& coordinator_;
  asio::io_context context_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer timer_;
  std::map<uint64_t, std::shared_ptr<Peer>> peers_;
  uint64_t last_id_ = 0;
  bool committing_ = false;
};

Server::Server(Coordinator& coordinator, const Address& address, const std::string& token)
    : impl_(std::make_unique<Impl>(coordinator, address, token)) {}
Server::~Server() = default;

uint16_t Server::port() const {
  return impl_->port();
}

void Server::run_for(std::chrono::milliseconds duration) {
  impl_->run_for(duration);
}

}  // namespace hecate::pbt
