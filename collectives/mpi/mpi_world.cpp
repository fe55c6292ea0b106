#include <mpi.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <future>
#include <iostream>
#include <limits>
#include <numeric>
#include <string>
#include <thread>

#include "collectives/engine/engine_communicator.h"
#include "collectives/mpi/mpi.h"
#include "collectives/mpi/mpi_transport.h"
#include "runtime/base/error.h"

namespace hecate::collectives::mpi {
namespace {

void prefer(const char* name, const char* value) {
  setenv(name, value, /*overwrite=*/0);
}

// Open MPI settings without which the promises of this backend do not hold; a user's own win.
void set_defaults(int64_t segment_bytes) {
  prefer("OMPI_MCA_btl_tcp_flags", "send");  // else an exchange is half duplex
  // A segment goes out at once. A handshake per segment would queue behind the bulk that flows the
  // other way and leave the link idle meanwhile.
  const std::string whole_segment = std::to_string(segment_bytes + 4096);
  for (const char* limit : {"eager_limit", "rndv_eager_limit", "max_send_size"})
    prefer((std::string("OMPI_MCA_btl_tcp_") + limit).c_str(), whole_segment.c_str());
  // What sits in the kernel's queue cannot be overtaken: about 8 ms at 1 Gbit/s. Less than this
  // and acknowledgements that queue behind the peer's own bulk throttle the link.
  prefer("OMPI_MCA_btl_tcp_sndbuf", "1048576");
  prefer("OMPI_MCA_btl_tcp_rcvbuf", "0");
}

void start_mpi(int64_t segment_bytes) {
  set_defaults(segment_bytes);
  int provided = 0;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  if (provided < MPI_THREAD_FUNNELED) throw CommError("mpi: no thread support");
}

// Options by which ranks must agree how they talk. Whoever compares their configurations names what
// differs, and needs ranks that can talk: until then they take the default.
void take_common(CommunicatorOptions& options) {
  const std::array<int, 2> mine = {options.ranks_per_node, options.check_arguments ? 1 : 0};
  std::array<int, 2> least{}, most{};
  check_mpi(MPI_Allreduce(mine.data(), least.data(), 2, MPI_INT, MPI_MIN, MPI_COMM_WORLD),
            "MPI_Allreduce");
  check_mpi(MPI_Allreduce(mine.data(), most.data(), 2, MPI_INT, MPI_MAX, MPI_COMM_WORLD),
            "MPI_Allreduce");
  if (least[0] != most[0]) options.ranks_per_node = 0;
  if (least[1] != most[1]) options.check_arguments = false;
}

}  // namespace

bool available() {
  return true;
}

std::string version() {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string full(text.data(), static_cast<size_t>(length));
  // "Open MPI v4.1.4, package: ..."
  std::string name = full.substr(0, full.find(','));
  const size_t v = name.find(" v");
  if (v != std::string::npos) name.erase(v + 1, 1);
  return name;
}

bool launched() {
  return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr || std::getenv("PMI_RANK") != nullptr ||
         std::getenv("PMIX_RANK") != nullptr;
}

struct World::State : std::enable_shared_from_this<World::State> {
  explicit State(const CommunicatorOptions& chosen) : options(chosen) {}

  // The whole life of MPI in this process.
  void run(std::promise<void>& started) {
    try {
      start_mpi(options.segment_bytes);
      take_common(options);
      auto transport = std::make_unique<MpiTransport>(options.ranks_per_node);
      communicator = transport->communicator();
      engine = std::make_unique<Engine>(std::move(transport), options, doorbell);
      started.set_value();
    } catch (...) {
      started.set_exception(std::current_exception());
      return;
    }
    ProgressLoop::run({engine.get()}, doorbell, stop, /*external_events=*/true,
                      [this] { run_native(); });
    if (!engine->failed() && !abandoned) MPI_Finalize();
    ended.set_value();
  }

  void run_native() {
    std::function<void()> job;
    {
      const std::lock_guard lock(mutex);
      job.swap(native_job);
    }
    if (job) job();
  }

  CommunicatorOptions options;
  Doorbell doorbell;
  std::atomic<bool> stop{false}, abandoned{false};
  std::unique_ptr<Engine> engine;
  MPI_Comm communicator = MPI_COMM_NULL;
  std::thread thread;
  std::promise<void> ended;
  std::mutex mutex;
  std::function<void()> native_job;
  bool closed = false;
};

World::World(const CommunicatorOptions& options) {
  HECATE_CHECK(options.segment_bytes >= 64 && options.segment_bytes <= (1 << 30),
               "mpi: segments of ", options.segment_bytes, " bytes, expected 64 to 2^30");
  state_ = std::make_shared<State>(options);
  std::promise<void> started;
  auto ready = started.get_future();
  state_->thread = std::thread([state = state_, &started] { state->run(started); });
  pthread_setname_np(state_->thread.native_handle(), "mpi");
  try {
    ready.get();
  } catch (...) {
    state_->thread.join();
    throw;
  }
  auto rank_state = std::make_shared<RankState>();
  rank_state->engine = state_->engine.get();
  rank_state->world = state_;
  std::vector<int> ranks(static_cast<size_t>(state_->engine->transport().size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  all_ = Communicator(
      std::make_shared<EngineCommunicator>(std::move(rank_state), ranks, 0, LaneKind::dense));
}

World::~World() {
  try {
    close();
  } catch (const std::exception& error) {
    std::cerr << "hecate: closing MPI: " << error.what() << std::endl;
  }
}

double World::native(Native call, const void* in, void* out, int64_t count) const {
  HECATE_CHECK(count >= 0 && count <= std::numeric_limits<int>::max(),
               "mpi: the library's own call of ", count, " elements, expected at most 2^31 - 1");
  std::promise<double> measured;
  auto result = measured.get_future();
  {
    const std::lock_guard lock(state_->mutex);
    state_->native_job = [&, comm = state_->communicator] {
      const auto n = static_cast<int>(count);
      const auto begin = std::chrono::steady_clock::now();
      switch (call) {
        case Native::all_reduce:
          MPI_Allreduce(in, out, n, MPI_FLOAT, MPI_SUM, comm);
          break;
        case Native::all_gather:
          MPI_Allgather(in, n, MPI_FLOAT, out, n, MPI_FLOAT, comm);
          break;
        case Native::reduce_scatter:
          MPI_Reduce_scatter_block(in, out, n, MPI_FLOAT, MPI_SUM, comm);
          break;
        case Native::broadcast:
          MPI_Bcast(out, n, MPI_FLOAT, 0, comm);
          break;
        case Native::all_to_all:
          MPI_Alltoall(in, n, MPI_FLOAT, out, n, MPI_FLOAT, comm);
          break;
      }
      const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
      measured.set_value(elapsed.count());
    };
  }
  state_->doorbell.ring();
  return result.get();
}

void World::abandon() {
  state_->abandoned = true;
  state_->engine->abandon();
}

void World::close() {
  if (state_->closed) return;
  state_->closed = true;
  std::exception_ptr failure;
  if (!state_->engine->failed() && !state_->abandoned) {
    // Ending MPI waits for every rank without a limit; this wait has one.
    try {
      all_.barrier().wait();
    } catch (...) {
      failure = std::current_exception();
    }
  }
  state_->engine->abandon();
  state_->stop = true;
  state_->doorbell.ring();
  auto ended = state_->ended.get_future();
  if (ended.wait_for(state_->options.timeout) == std::future_status::ready) {
    state_->thread.join();
  } else {
    state_->thread.detach();  // stuck inside the library; it keeps the state alive
    throw CommError("mpi: ending MPI timed out");
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace hecate::collectives::mpi
