#include "collectives/inproc/inproc.h"

#include <pthread.h>

#include <atomic>
#include <numeric>
#include <thread>
#include <utility>

#include "collectives/engine/engine_communicator.h"
#include "collectives/inproc/mailbox.h"
#include "runtime/base/error.h"

namespace hecate::collectives::inproc {
namespace {

constexpr int kMaxRanks = 64;

class World {
 public:
  World(int ranks, const CommunicatorOptions& options) : mailbox_(ranks) {
    const int per_node = options.ranks_per_node > 0 ? options.ranks_per_node : ranks;
    std::vector<int> nodes;
    for (int r = 0; r < ranks; ++r) nodes.push_back(r / per_node);
    for (int r = 0; r < ranks; ++r)
      engines_.push_back(std::make_unique<Engine>(
          std::make_unique<MailboxTransport>(mailbox_, r, nodes), options, doorbell_));
    std::vector<Engine*> engines;
    for (auto& engine : engines_) engines.push_back(engine.get());
    thread_ = std::thread([this, engines] {
      ProgressLoop::run(engines, doorbell_, stop_, /*external_events=*/false);
    });
    pthread_setname_np(thread_.native_handle(), "inproc");
  }

  ~World() {
    for (auto& engine : engines_) engine->abandon();
    stop_ = true;
    doorbell_.ring();
    thread_.join();
  }

  Engine& engine(int rank) { return *engines_[static_cast<size_t>(rank)]; }

 private:
  Mailbox mailbox_;
  Doorbell doorbell_;
  std::atomic<bool> stop_{false};
  std::vector<std::unique_ptr<Engine>> engines_;
  std::thread thread_;
};

}  // namespace

std::vector<Communicator> create(int ranks, const CommunicatorOptions& options) {
  HECATE_CHECK(ranks >= 1 && ranks <= kMaxRanks, "inproc: ", ranks, " ranks, expected 1 to ",
               kMaxRanks);
  HECATE_CHECK(options.segment_bytes >= 64, "inproc: segments of ", options.segment_bytes,
               " bytes, expected at least 64");
  auto world = std::make_shared<World>(ranks, options);
  std::vector<int> all(static_cast<size_t>(ranks));
  std::iota(all.begin(), all.end(), 0);
  std::vector<Communicator> communicators;
  for (int r = 0; r < ranks; ++r) {
    auto state = std::make_shared<RankState>();
    state->engine = &world->engine(r);
    state->world = world;
    communicators.emplace_back(
        std::make_shared<EngineCommunicator>(std::move(state), all, 0, LaneKind::dense));
  }
  return communicators;
}

}  // namespace hecate::collectives::inproc
