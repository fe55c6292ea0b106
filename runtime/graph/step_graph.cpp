#include "runtime/graph/step_graph.h"

#include <algorithm>
#include <array>

namespace hecate::graph {

std::string_view name_of(OpKind kind) {
  constexpr std::array<std::string_view, kOpKinds> kNames = {
      "embedding",     "normalization", "gemm",         "attention",    "elementwise", "routing",
      "permutation",   "expert_gemm",   "loss",         "optimizer",    "dispatch",    "combine",
      "expert_gather", "expert_reduce", "dense_gather", "dense_reduce", "calibrate",   "host"};
  return kNames[static_cast<size_t>(kind)];
}

BufferId StepGraph::add_buffer(std::string name, DType dtype, int64_t elements,
                               MemoryCategory category) {
  HECATE_CHECK(elements >= 0, "StepGraph: buffer ", name, " of ", elements, " elements");
  buffers_.push_back({.name = std::move(name),
                      .storage = Storage::planned,
                      .category = category,
                      .dtype = dtype,
                      .bytes = elements * static_cast<int64_t>(size_of(dtype)),
                      .rows = {}});
  uses_.emplace_back();
  return {static_cast<int32_t>(buffers_.size() - 1)};
}

BufferId StepGraph::add_pooled(std::string name, DType dtype, RowsId rows, int64_t elements_per_row,
                               MemoryCategory category) {
  HECATE_CHECK(rows.valid(), "StepGraph: buffer ", name, " has no row count");
  const BufferId id = add_buffer(std::move(name), dtype, elements_per_row, category);
  buffers_.back().storage = Storage::pooled;
  buffers_.back().rows = rows;
  return id;
}

BufferId StepGraph::add_external(std::string name, DType dtype, int64_t elements,
                                 MemoryCategory category) {
  const BufferId id = add_buffer(std::move(name), dtype, elements, category);
  buffers_.back().storage = Storage::external;
  return id;
}

RowsId StepGraph::add_rows(std::string name, int64_t expected) {
  expected_rows_.push_back(expected);
  row_names_.push_back(std::move(name));
  return {static_cast<int32_t>(expected_rows_.size() - 1)};
}

void StepGraph::require(BufferId id, const Op& op) const {
  HECATE_CHECK(id.valid() && static_cast<size_t>(id.index) < buffers_.size(),
               "StepGraph: operation ", op.name, " uses buffer ", id.index, " of ",
               buffers_.size());
}

int32_t StepGraph::add(Op op) {
  const auto self = static_cast<int32_t>(ops_.size());
  std::array<int32_t, kLanes> latest;
  latest.fill(-1);
  const auto after = [&](int32_t other) {
    if (other < 0) return;
    int32_t& slot = latest[static_cast<size_t>(ops_[static_cast<size_t>(other)].lane)];
    slot = std::max(slot, other);
  };
  for (BufferId id : op.reads) {
    require(id, op);
    const Use& use = uses_[static_cast<size_t>(id.index)];
    HECATE_CHECK(use.writer >= 0 || buffer(id).storage == Storage::external, "StepGraph: ", op.name,
                 " reads ", buffer(id).name, ", which nothing has written");
    after(use.writer);
  }
  for (BufferId id : op.writes) {
    require(id, op);
    const Use& use = uses_[static_cast<size_t>(id.index)];
    after(use.writer);
    for (int32_t reader : use.readers) after(reader);
  }
  for (BufferId id : op.reads) uses_[static_cast<size_t>(id.index)].readers.push_back(self);
  for (BufferId id : op.writes) {
    uses_[static_cast<size_t>(id.index)].readers.clear();
    uses_[static_cast<size_t>(id.index)].writer = self;
  }
  for (int32_t other : latest)
    if (other >= 0 && ops_[static_cast<size_t>(other)].lane != op.lane)
      op.depends_on.push_back(other);
  ops_.push_back(std::move(op));
  return self;
}

}  // namespace hecate::graph
