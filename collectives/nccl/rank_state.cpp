#include "collectives/nccl/rank_state.h"

#include <filesystem>
#include <thread>
#include <utility>

#include "runtime/base/error.h"

namespace hecate::collectives::nccl {
namespace {

using Clock = std::chrono::steady_clock;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch())
      .count();
}

// Beside the bootstrap's own.
std::string record_file(const std::string& directory, int rank) {
  return directory.empty() ? "" : concat(directory, "/flight-", rank, "-nccl.txt");
}

}  // namespace

RankState::RankState(const CommunicatorOptions& common, const Options& own, int rank, int ranks)
    : options(common), nccl(own), world_rank(rank), traffic(ranks), copies(/*urgent=*/true) {
  std::error_code ignored;  // what an earlier job left is no evidence
  if (!options.flight_directory.empty())
    std::filesystem::remove(record_file(options.flight_directory, world_rank), ignored);
}

void RankState::add(const std::shared_ptr<NcclWork>& work) {
  const std::lock_guard lock(mutex);
  under_way.remove_if([](const auto& each) { return each.expired(); });
  under_way.push_back(work);
}

void RankState::leave_record() {
  std::vector<std::shared_ptr<NcclWork>> works;
  {
    const std::lock_guard lock(mutex);
    for (const auto& each : under_way)
      if (auto work = each.lock()) works.push_back(std::move(work));
  }
  for (const auto& work : works) {
    try {
      work->done();
    } catch (const DeviceError&) {
      // Whoever waits for it is told.
    }
  }
  collectives::leave_record(record_file(options.flight_directory, world_rank), world_rank,
                            flight.snapshot());
}

Mirror::Mirror(HostRanges ranges, cudaStream_t stream)
    : ranges_(std::move(ranges)), memory_(ranges_.bytes(), stream) {
  for (const auto& range : ranges_.reads())
    check_cuda(cudaMemcpyAsync(at(range.data()), range.data(), range.bytes(),
                               cudaMemcpyHostToDevice, stream),
               "cudaMemcpyAsync");
}

std::byte* Mirror::at(const void* address) const {
  const int64_t offset = ranges_.empty() ? -1 : ranges_.offset_of(address);
  if (offset >= 0) return memory_.data() + offset;
  return static_cast<std::byte*>(const_cast<void*>(address));
}

void Mirror::copy_out(cudaStream_t stream) const {
  if (ranges_.writes().empty()) return;
  for (const auto& range : ranges_.writes())
    check_cuda(cudaMemcpyAsync(range.data(), at(range.data()), range.bytes(),
                               cudaMemcpyDeviceToHost, stream),
               "cudaMemcpyAsync");
  check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

NcclWork::NcclWork(std::shared_ptr<RankState> rank, std::shared_ptr<Channel> channel,
                   const FlightEntry& entry, Mirror mirror)
    : rank_(std::move(rank)),
      channel_(std::move(channel)),
      name_(entry.operation),
      place_(concat("lane ", hecate::name_of(entry.lane), ", communicator ", entry.context,
                    ", operation ", entry.sequence)),
      ticket_(rank_->flight.add(entry)),
      mirror_(std::move(mirror)) {}

NcclWork::~NcclWork() = default;

void NcclWork::enqueued() {
  const std::lock_guard lock(mutex_);
  event_.record(channel_->stream());
  stage_ = Stage::running;
  rank_->flight.update(ticket_, OperationState::running, now_ns());
}

void NcclWork::not_enqueued(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    fail(why);
  }
  rank_->leave_record();
}

NcclWork::Stage NcclWork::stage() const {
  const std::lock_guard lock(mutex_);
  if (stage_ != Stage::running) return stage_;
  // An aborted operation is over for the device as well: NCCL is asked first.
  const std::string problem = channel_->problem();
  if (!problem.empty()) {
    fail(concat(name_, ": nccl: ", problem));
  } else if (event_.reached()) {
    stage_ = Stage::computed;
    rank_->flight.update(ticket_, OperationState::done, now_ns());
  }
  return stage_;
}

void NcclWork::fail(const std::string& message) const {
  stage_ = Stage::failed;
  error_ = message;
  rank_->flight.update(ticket_, OperationState::failed, now_ns());
}

bool NcclWork::done() const {
  const DeviceScope scope(rank_->nccl.device);
  return stage() > Stage::running;
}

void NcclWork::deliver() {
  const std::lock_guard lock(mutex_);
  if (stage_ == Stage::failed) throw CommError(error_);
  if (stage_ == Stage::computed) mirror_.copy_out(rank_->copies.get());
  stage_ = Stage::delivered;
}

void NcclWork::time_out() {
  {
    const std::lock_guard lock(mutex_);
    const std::chrono::duration<double> elapsed = Clock::now() - begin_;
    fail(concat(name_, " timed out on rank ", rank_->world_rank, " after ", elapsed.count(), " s (",
                place_, ")"));
  }
  channel_->abort(error_);
  rank_->leave_record();
}

void NcclWork::wait(std::chrono::nanoseconds timeout) {
  constexpr int kYields = 200;
  constexpr std::chrono::microseconds kNap{20};
  const DeviceScope scope(rank_->nccl.device);
  const auto end = Clock::now() + timeout;
  for (int looks = 0; stage() == Stage::running; ++looks) {
    if (Clock::now() > end) {
      time_out();
    } else if (looks < kYields) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kNap);
    }
  }
  deliver();
}

}  // namespace hecate::collectives::nccl
