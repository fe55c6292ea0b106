#include "scheduler/pbt/client.h"

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cmath>
#include <deque>
#include <future>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "runtime/base/error.h"

namespace hecate::pbt {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Failure = boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

constexpr double kFirstPause = 0.1, kLastPause = 5, kPauseGrowth = 2;
constexpr double kTimeoutBefore = 10;  // until the controller has said its own

Clock::duration seconds(double value) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(value));
}

std::string with_id(const std::string& text, int64_t id) {
  const std::string rest = text.substr(text.find('{') + 1);
  return concat("{\"id\":", id, rest.find_first_not_of(" }") == std::string::npos ? "" : ",", rest);
}

}  // namespace

class Client::Impl {
 public:
  explicit Impl(const ClientOptions& options) : options_(options), socket_(context_) {
    lost_since_ = Clock::now();
    asio::post(context_, [this] { connect(); });
    watch();
    thread_ = std::thread([this] { context_.run(); });
  }
  ~Impl() {
    context_.stop();
    thread_.join();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::string welcome() {
    std::future<std::string> future;
    const auto waiting = std::make_shared<std::promise<std::string>>();
    future = waiting->get_future();
    asio::post(context_, [this, waiting] {
      if (fatal_)
        waiting->set_exception(fatal_);
      else if (!welcome_.empty())
        waiting->set_value(welcome_);
      else
        welcome_waits_ = waiting;
    });
    return future.get();
  }

  Message request(const std::string& text, const std::string& blob) {
    const auto call = std::make_shared<Call>();
    std::future<Message> answer = call->answer.get_future();
    asio::post(context_, [this, call, text, blob] {
      if (fatal_) return call->answer.set_exception(fatal_);
      call->id = ++last_id_;
      call->bytes = encode({with_id(text, call->id), blob});
      call_ = call;
      if (greeted_) send(call->bytes);
    });
    return answer.get();
  }

  void progress(int member, int64_t step, double loss) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Json shown = std::isfinite(loss) ? Json(loss) : Json(nullptr);
    sign_of_life_ =
        Json({{"type", "progress"}, {"member", member}, {"step", step}, {"loss", shown}}).dump();
  }

 private:
  struct Call {
    int64_t id = 0;
    std::string bytes;
    std::promise<Message> answer;
  };

  void connect() {
    if (fatal_) return;
    pausing_ = false;
    const uint64_t attempt = ++attempt_;
    greeted_ = false;
    heard_ = Clock::now();
    resolver_.emplace(context_);
    resolver_->async_resolve(
        options_.controller.host, std::to_string(options_.controller.port),
        [this, attempt](Failure failure, const tcp::resolver::results_type& found) {
          if (attempt != attempt_) return;
          if (failure) return lose(failure.message());
          asio::async_connect(socket_, found, [this, attempt](Failure other, const tcp::endpoint&) {
            if (attempt != attempt_) return;
            if (other) return lose(other.message());
            hello();
          });
        });
  }

  void hello() {
    Failure ignored;
    socket_.set_option(tcp::no_delay(true), ignored);
    const Json json = {{"type", "hello"},
                       {"id", 0},
                       {"version", options_.version},
                       {"token", options_.token},
                       {"worker", options_.worker}};
    queue_.clear();
    send(encode({json.dump(), {}}));
    read();
  }

  void lose(const std::string& reason) {
    if (fatal_) return;
    ++attempt_;  // what still comes of the old connection is ignored
    Failure ignored;
    socket_.close(ignored);
    greeted_ = false;
    const Clock::time_point now = Clock::now();
    if (now - lost_since_ > seconds(options_.give_up_seconds))
      return fail(std::make_exception_ptr(CommError(
          concat("the controller at ", options_.controller.host, ":", options_.controller.port,
                 " was not there for ", options_.give_up_seconds, " seconds: ", reason))));
    pausing_ = true;
    pause_.expires_after(seconds(pause_seconds_));
    pause_seconds_ = std::min(kLastPause, pause_seconds_ * kPauseGrowth);
    pause_.async_wait([this](Failure failure) {
      if (!failure) connect();
    });
  }

  void fail(const std::exception_ptr& error) {
    fatal_ = error;
    if (call_) call_->answer.set_exception(error);
    call_.reset();
    if (welcome_waits_) welcome_waits_->set_exception(error);
    welcome_waits_.reset();
    Failure ignored;
    socket_.close(ignored);
  }

  void read() {
    asio::async_read(socket_, asio::buffer(header_),
                     [this, attempt = attempt_](Failure failure, size_t) {
                       if (attempt != attempt_) return;
                       if (failure) return lose(failure.message());
                       read_body();
                     });
  }

  void read_body() {
    FrameHeader header;
    try {
      header = decode_header({header_.data(), header_.size()});
    } catch (const InvalidArgument& error) {
      return fail(std::make_exception_ptr(
          InvalidArgument(concat("what answers at ", options_.controller.host, ":",
                                 options_.controller.port, " is no controller: ", error.what()))));
    }
    incoming_.text.resize(header.text);
    incoming_.blob.resize(header.blob);
    const std::array<asio::mutable_buffer, 2> buffers = {asio::buffer(incoming_.text),
                                                         asio::buffer(incoming_.blob)};
    asio::async_read(socket_, buffers, [this, attempt = attempt_](Failure failure, size_t) {
      if (attempt != attempt_) return;
      if (failure) return lose(failure.message());
      heard_ = Clock::now();
      try {
        answered(Json::parse(incoming_.text));
      } catch (const nlohmann::json::exception& error) {
        return lose(error.what());
      }
      if (attempt == attempt_ && !fatal_) read();
    });
  }

  void answered(const Json& json) {
    const auto type = json.at("type").get<std::string>();
    if (type == "refused") {
      const auto reason = json.at("reason").get<std::string>();
      if (json.value("again", false)) return lose(reason);
      return fail(std::make_exception_ptr(
          InvalidArgument(concat("the controller refuses this worker: ", reason))));
    }
    if (type == "welcome") return welcomed(json);
    if (type == "alive") return;
    if (!call_ || json.value("id", int64_t{-1}) != call_->id) return;  // of a call asked twice
    const std::shared_ptr<Call> call = std::exchange(call_, nullptr);
    call->answer.set_value(std::exchange(incoming_, {}));
  }

  void welcomed(const Json& json) {
    heartbeat_seconds_ = json.at("heartbeat_seconds").get<double>();
    timeout_seconds_ = json.at("timeout_seconds").get<double>();
    greeted_ = true;
    pause_seconds_ = kFirstPause;
    welcome_ = incoming_.text;
    if (welcome_waits_) welcome_waits_->set_value(welcome_);
    welcome_waits_.reset();
    if (call_) send(call_->bytes);
  }

  void send(std::string bytes) {
    queue_.push_back(std::move(bytes));
    if (queue_.size() == 1) write();
  }

  void write() {
    const auto bytes = std::make_shared<std::string>(queue_.front());
    asio::async_write(socket_, asio::buffer(*bytes),
                      [this, bytes, attempt = attempt_](Failure failure, size_t) {
                        if (attempt != attempt_) return;
                        if (failure) return lose(failure.message());
                        queue_.pop_front();
                        if (!queue_.empty()) write();
                      });
  }

  // Signs of life, and whether the other side gives any.
  void watch() {
    watch_.expires_after(seconds(heartbeat_seconds_));
    watch_.async_wait([this](Failure failure) {
      if (failure || fatal_) return;
      if (greeted_) {
        lost_since_ = Clock::now();
        const std::lock_guard<std::mutex> lock(mutex_);
        send(encode({sign_of_life_, {}}));
      }
      if (!pausing_ && Clock::now() - heard_ > seconds(timeout_seconds_))
        lose("it does not answer");
      watch();
    });
  }

  ClientOptions options_;
  asio::io_context context_{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard_{context_.get_executor()};
  std::optional<tcp::resolver> resolver_;
  tcp::socket socket_;
  asio::steady_timer pause_{context_}, watch_{context_};
  std::array<char, kHeaderBytes> header_{};
  Message incoming_;
  std::deque<std::string> queue_;
  uint64_t attempt_ = 0;
  bool greeted_ = false, pausing_ = false;
  Clock::time_point heard_, lost_since_;
  double pause_seconds_ = kFirstPause;
  double heartbeat_seconds_ = 1, timeout_seconds_ = kTimeoutBefore;
  std::string welcome_;
  std::shared_ptr<std::promise<std::string>> welcome_waits_;
  std::shared_ptr<Call> call_;
  int64_t last_id_ = 0;
  std::exception_ptr fatal_;
  std::mutex mutex_;
  std::string sign_of_life_ = R"({"type":"progress"})";
  std::thread thread_;
};

Client::Client(const ClientOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Client::~Client() = default;

std::string Client::welcome() {
  return impl_->welcome();
}

Message Client::request(const std::string& text, const std::string& blob) {
  return impl_->request(text, blob);
}

void Client::progress(int member, int64_t step, double loss) {
  impl_->progress(member, step, loss);
}

}  // namespace hecate::pbt
