#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "sharding/sim/program.h"
#include "sharding/sim/traffic.h"

/// Replays a step's operations on every rank: a lane runs its operations in order, each as soon as
/// those that it depends on are over; collectives end when their bytes have crossed the links.
namespace hecate::sharding::sim {

/// What differs between ranks and steps. Everything that is pointed to outlives the run.
struct RunInputs {
  const Program* program = nullptr;
  const Resources* resources = nullptr;
  const DeviceModel* device = nullptr;
  std::vector<std::vector<double>> rows = {};    ///< [row count][rank]
  std::vector<std::vector<double>> groups = {};  ///< the same: experts that the rows belong to
  std::vector<const Traffic*> traffic = {};      ///< per operation; null: it moves nothing
  bool first_micro_batch = true, last_micro_batch = true;
};

/// When every operation ran on every rank. Operations that did not run have begin < 0.
class RunRecord {
 public:
  RunRecord(size_t ops, int ranks)
      : ranks_(static_cast<size_t>(ranks)), entries_(ops * static_cast<size_t>(ranks)) {}
  struct Entry {
    double begin = -1, end = -1;
    int32_t cause = -1;  ///< operation of the same rank whose end let it begin; -1: the run's start
    int32_t last = -1;   ///< of collectives: the rank that came last
  };
  Entry& at(size_t op, int rank) { return entries_[op * ranks_ + static_cast<size_t>(rank)]; }
  const Entry& at(size_t op, int rank) const {
    return entries_[op * ranks_ + static_cast<size_t>(rank)];
  }
  size_t ops() const { return entries_.size() / ranks_; }
  int ranks() const { return static_cast<int>(ranks_); }
  /// When the rank's last operation ended; `start` where it had none.
  double end_of(int rank, double start) const;
  /// Index of that operation; -1: none.
  int32_t last_op(int rank) const;

 private:
  size_t ranks_;
  std::vector<Entry> entries_;
};

/// One run of the executor on all ranks. @param start per rank: when it begins.
/// @throws InvalidArgument for inputs that do not fit the program.
RunRecord simulate(const RunInputs& inputs, std::span<const double> start);

/// What a step of the critical path took: from when the operation could go on until its end.
using PathVisit = std::function<void(int32_t op, double seconds)>;
/// Walks back from the last operation of `rank` to the run's start over what each waited for, from
/// rank to rank where a collective waited for one.
/// @return the rank at whose start the path begins.
int walk_critical_path(const RunRecord& record, int rank, const PathVisit& visit);

/// What the compute lane stood still for, by the kind of the operation of another lane that came
/// last: added to `seconds_by_kind` as a mean over the ranks.
void add_waits(const Program& program, const RunRecord& record, std::span<double> seconds_by_kind);

}  // namespace hecate::sharding::sim
