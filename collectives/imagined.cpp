#include "collectives/imagined.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "collectives/backend.h"
#include "runtime/base/error.h"

namespace hecate::collectives {
namespace {

class Imagined final : public CommunicatorBackend {
 public:
  Imagined(int rank, std::vector<int> node_of, LaneKind lane)
      : rank_(rank), node_of_(std::move(node_of)), lane_(lane) {}

  std::string_view name() const override { return "imagined"; }
  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(node_of_.size()); }
  LaneKind lane() const override { return lane_; }
  std::span<const int> nodes() const override { return node_of_; }
  std::shared_ptr<CommunicatorBackend> split(int color, int, LaneKind lane) override {
    if (color == 0) return std::make_shared<Imagined>(rank_, node_of_, lane);
    return std::make_shared<Imagined>(0, std::vector<int>{0}, lane);
  }
  std::shared_ptr<CommunicatorBackend> subgroup(std::span<const int> ranks,
                                                LaneKind lane) override {
    std::vector<int> nodes, node_of;
    for (int rank : ranks) {
      const int node = node_of_[static_cast<size_t>(rank)];
      const auto at = std::ranges::find(nodes, node);
      node_of.push_back(static_cast<int>(at - nodes.begin()));
      if (at == nodes.end()) nodes.push_back(node);
    }
    const auto place = std::ranges::find(ranks, rank_) - ranks.begin();
    return std::make_shared<Imagined>(static_cast<int>(place), std::move(node_of), lane);
  }
  Work barrier() override { return nobody(); }
  Work broadcast(void*, int64_t, DType, int) override { return nobody(); }
  Work reduce(const void*, void*, int64_t, DType, ReduceOp, int) override { return nobody(); }
  Work all_reduce(const void* in, void* out, int64_t count, DType type, ReduceOp op) override {
    if (op == ReduceOp::sum) return nobody();
    std::memmove(out, in, static_cast<size_t>(count) * size_of(type));
    return {};
  }
  Work all_gather_v(const void*, void*, std::span<const int64_t>, DType) override {
    return nobody();
  }
  Work reduce_scatter_v(const void*, void*, std::span<const int64_t>, DType, ReduceOp) override {
    return nobody();
  }
  Work all_to_all_v(const void*, std::span<const int64_t>, void*, std::span<const int64_t>,
                    DType) override {
    return nobody();
  }
  Work exchange(std::span<const Send>, std::span<const Receive>) override { return nobody(); }
  Work run(const ProgramOf&, const char*, uint64_t) override { return nobody(); }
  int64_t segment_bytes() const override { return CommunicatorOptions{}.segment_bytes; }
  std::vector<FlightEntry> flight_record() const override { return {}; }
  Traffic traffic() const override { return Traffic(size()); }
  int64_t peak_scratch_bytes() const override { return 0; }

 private:
  [[noreturn]] Work nobody() const {
    throw InvalidArgument(concat("rank ", rank_, " of ", size(), " imagined ranks has no peers"));
  }

  int rank_;
  std::vector<int> node_of_;
  LaneKind lane_;
};

}  // namespace

Communicator imagine(int rank, std::vector<int> node_of) {
  HECATE_CHECK(rank >= 0 && rank < std::ssize(node_of), "imagined rank ", rank, " of ",
               node_of.size());
  return Communicator(std::make_shared<Imagined>(rank, std::move(node_of), LaneKind::dense));
}

}  // namespace hecate::collectives
