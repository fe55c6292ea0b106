#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/device/lane.h"
#include "runtime/memory/ledger.h"
#include "runtime/tensor/dtype.h"
#include "runtime/tensor/tensor_view.h"

/// A training step as data: buffers, and operations on lanes in program order. The executor runs
/// it; the memory predictor, the simulator and the timeline read the same object.
namespace hecate::graph {

/// What an operation does, for breakdowns and cost models.
enum class OpKind : uint8_t {
  embedding,
  normalization,
  gemm,
  attention,
  elementwise,
  routing,
  permutation,
  expert_gemm,
  loss,
  optimizer,
  dispatch,
  combine,
  expert_gather,
  expert_reduce,
  dense_gather,
  dense_reduce,
  calibrate,
  host,
};
inline constexpr size_t kOpKinds = 18;
std::string_view name_of(OpKind kind);

/// Index of a buffer in its graph; default-constructed = none.
struct BufferId {
  int32_t index = -1;
  bool valid() const { return index >= 0; }
  bool operator==(const BufferId&) const = default;
};

/// Index of a row count that is known only while the step runs (what routing decided).
struct RowsId {
  int32_t index = -1;
  bool valid() const { return index >= 0; }
  bool operator==(const RowsId&) const = default;
};

/// Who provides the memory of a buffer.
enum class Storage : uint8_t {
  planned,   ///< fixed size; the memory plan gives it an offset in the arena
  pooled,    ///< rows * bytes_per_row, taken from the block pool at its first writer
  external,  ///< bound by the owner (parameters, token files); never released here
};

struct Buffer {
  std::string name;
  Storage storage = Storage::planned;
  MemoryCategory category = MemoryCategory::activations;
  DType dtype = DType::f32;
  int64_t bytes = 0;  ///< of planned and external ones; per row of pooled ones
  RowsId rows;        ///< of pooled ones
};

/// Work of an operation: fixed, plus a part per row of a row count.
struct OpCost {
  double flops = 0;
  double bytes = 0;
  RowsId rows;
  double flops_per_row = 0;
  double bytes_per_row = 0;
};

/// In which micro-batches of a step an operation runs.
enum class When : uint8_t { always, first_micro_batch, last_micro_batch };

class OpContext;

struct Op {
  std::string name;
  OpKind kind = OpKind::elementwise;
  LaneKind lane = LaneKind::compute;
  int32_t layer = -1;  ///< -1 outside the layers
  bool backward = false;
  When when = When::always;
  std::vector<BufferId> reads;
  std::vector<BufferId> writes;  ///< also those it updates in place
  OpCost cost;
  std::function<void(OpContext&)> run;
  /// Operations on other lanes that must be complete first, at most one per lane. Filled by
  /// StepGraph::add from the reads and writes of earlier operations.
  std::vector<int32_t> depends_on;
};

/// Appends in program order; each operation is ordered after every earlier one that it conflicts
/// with (read after write, write after read, write after write), on whichever lane.
class StepGraph {
 public:
  /// @param elements >= 0. A size of zero is allowed.
  BufferId add_buffer(std::string name, DType dtype, int64_t elements,
                      MemoryCategory category = MemoryCategory::activations);
  BufferId add_pooled(std::string name, DType dtype, RowsId rows, int64_t elements_per_row,
                      MemoryCategory category = MemoryCategory::activations);
  BufferId add_external(std::string name, DType dtype, int64_t elements, MemoryCategory category);
  /// @param expected a typical value, for predictions before anything has run.
  RowsId add_rows(std::string name, int64_t expected);

  /// @throws InvalidArgument for an unknown buffer, or a planned or pooled one that is read before
  ///   anything wrote it.
  int32_t add(Op op);

  const std::vector<Op>& ops() const { return ops_; }
  const std::vector<Buffer>& buffers() const { return buffers_; }
  const Buffer& buffer(BufferId id) const { return buffers_[static_cast<size_t>(id.index)]; }
  const std::vector<int64_t>& expected_rows() const { return expected_rows_; }
  const std::vector<std::string>& row_names() const { return row_names_; }

 private:
  struct Use {
    std::vector<int32_t> readers;  // since the last writer
    int32_t writer = -1;
  };

  void require(BufferId id, const Op& op) const;

  std::vector<Op> ops_;
  std::vector<Buffer> buffers_;
  std::vector<Use> uses_;
  std::vector<int64_t> expected_rows_;
  std::vector<std::string> row_names_;
};

}  // namespace hecate::graph
