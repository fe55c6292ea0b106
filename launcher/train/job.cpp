#include "launcher/train/job.h"

#include <algorithm>

#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

constexpr int kInvalidArgument = 2;  // exit codes
constexpr int kFailure = 1;

}  // namespace

Job Job::start(const collectives::CommunicatorOptions& options) {
  Job job;
  if (!collectives::mpi::launched()) return job;
  job.mpi_ = std::make_shared<collectives::mpi::World>(options);
  if (job.mpi_->communicator().size() > 1) job.world_ = job.mpi_->communicator();
  return job;
}

std::vector<std::string> Job::gather(const std::string& mine) const {
  if (!world_) return {mine};
  const auto size = static_cast<size_t>(ranks());
  const int64_t length = std::ssize(mine);
  std::vector<int64_t> lengths(size);
  world_.all_gather(&length, lengths.data(), 1, DType::i64).wait();
  int64_t total = 0;
  for (int64_t each : lengths) total += each;
  std::string all(static_cast<size_t>(total), '\0');
  world_.all_gather_v(mine.data(), all.data(), lengths, DType::u8).wait();
  std::vector<std::string> texts;
  size_t begin = 0;
  for (int64_t each : lengths) {
    texts.push_back(all.substr(begin, static_cast<size_t>(each)));
    begin += static_cast<size_t>(each);
  }
  return texts;
}

std::string Job::share(const std::string& text) const {
  return gather(first() ? text : std::string()).front();
}

bool Job::any(bool mine) const {
  return largest(mine ? 1 : 0) > 0;
}

double Job::largest(double mine) const {
  if (!world_) return mine;
  double result = 0;
  world_.all_reduce(&mine, &result, 1, DType::f64, collectives::ReduceOp::max).wait();
  return result;
}

void Job::barrier() const {
  if (world_) world_.barrier().wait();
}

void Job::abandon() const {
  if (mpi_) mpi_->abandon();
}

void Job::agree(const std::function<void()>& work) const {
  if (!world_) return work();
  std::string outcome;  // exit code as one character, then the message
  const auto failed = [&](int code, const char* what) {
    outcome = static_cast<char>('0' + code) + std::string(what);
  };
  try {
    work();
  } catch (const CommError&) {
    throw;
  } catch (const InvalidArgument& error) {
    failed(kInvalidArgument, error.what());
  } catch (const std::exception& error) {
    failed(kFailure, error.what());
  }
  const std::vector<std::string> all = gather(outcome);
  const auto bad = std::ranges::find_if(all, [](const std::string& each) { return !each.empty(); });
  if (bad == all.end()) return;
  const bool alike =
      std::ranges::all_of(all, [&](const std::string& each) { return each == *bad; });
  const std::string where = alike ? "" : concat("rank ", bad - all.begin(), ": ");
  throw AgreedError(where + bad->substr(1), bad->front() - '0');
}

}  // namespace hecate::launcher
