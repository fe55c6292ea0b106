#include "monitoring/push_gateway.h"

#include <prometheus/collectable.h>
#include <prometheus/gateway.h>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "monitoring/blocked_signals.h"
#include "monitoring/collectable.h"
#include "runtime/base/error.h"

namespace hecate::monitoring {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr const char* kJob = "hecate";

// The group is part of a path.
std::string path_part(const std::string& text) {
  std::string part;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
    part += plain ? c : '_';
  }
  return part.empty() ? "_" : part;
}

prometheus::Labels labels_of(const MetricLabels& group) {
  prometheus::Labels labels;
  for (const MetricLabel& label : group) labels[label.name] = path_part(label.value);
  return labels;
}

}  // namespace

struct PushGateway::Pusher {
  std::shared_ptr<prometheus::Collectable> collectable;
  std::string address;
  prometheus::Gateway gateway;
  mutable std::mutex mutex;
  std::condition_variable changed;
  bool finish = false, finished = false;
  std::string problem;

  Pusher(std::shared_ptr<const MetricRegistry> registry, const PushOptions& options, size_t colon)
      : collectable(make_collectable(std::move(registry))),
        address(options.address),
        gateway(options.address.substr(0, colon), options.address.substr(colon + 1), kJob,
                labels_of(options.group)) {
    gateway.RegisterCollectable(collectable);
  }

  // The library's calls have no time limit; only this thread waits for them.
  void push() {
    std::string failed;
    try {
      const int status = gateway.Push();
      if (status < 0)
        failed = concat("no answer (transfer error ", -status, ")");
      else if (status >= 400)
        failed = concat("answered ", status);
    } catch (const std::exception& error) {
      failed = error.what();
    }
    const std::lock_guard lock(mutex);
    problem = failed.empty() ? "" : concat("push gateway ", address, ": ", failed);
  }

  void run(double every_seconds) {
    std::unique_lock lock(mutex);
    for (bool last = false; !last;) {
      changed.wait_for(lock, Seconds(every_seconds), [&] { return finish; });
      last = finish;
      lock.unlock();
      push();
      lock.lock();
    }
    finished = true;
    changed.notify_all();
  }
};

PushGateway::PushGateway(std::shared_ptr<const MetricRegistry> registry, const PushOptions& options)
    : patience_seconds_(options.patience_seconds) {
  const size_t colon = options.address.rfind(':');
  HECATE_CHECK(colon != std::string::npos && colon > 0 && colon + 1 < options.address.size(),
               "metrics.push_gateway = \"", options.address, "\": expected HOST:PORT");
  pusher_ = std::make_shared<Pusher>(std::move(registry), options, colon);
  const BlockedSignals blocked;
  std::thread([pusher = pusher_, every = options.every_seconds] { pusher->run(every); }).detach();
}

PushGateway::~PushGateway() {
  finish();
}

void PushGateway::finish() {
  std::unique_lock lock(pusher_->mutex);
  pusher_->finish = true;
  pusher_->changed.notify_all();
  if (pusher_->changed.wait_for(lock, Seconds(patience_seconds_),
                                [this] { return pusher_->finished; }))
    return;
  pusher_->problem = concat("push gateway ", pusher_->address, ": no answer after ",
                            patience_seconds_, " s; the last values were not pushed");
}

std::string PushGateway::problem() const {
  const std::lock_guard lock(pusher_->mutex);
  return pusher_->problem;
}

}  // namespace hecate::monitoring
