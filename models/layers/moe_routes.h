#pragma once
#include <memory>
#include <span>
#include <vector>

#include "models/builder.h"
#include "models/expert_ops.h"
#include "models/layers/moe_gate.h"

namespace hecate::models {

/// The way of a layer's tokens to their experts and back. Two orders of rows: the token side has
/// this rank's choices, the expert side the rows that this rank computes, sorted by expert and
/// inside an expert in token order. On one rank both are the same.
class MoeRoutes {
 public:
  struct Saved {
    BufferId row_of;     ///< [T,K] i32: row of the token side, -1 if dropped
    BufferId choice_of;  ///< [rows] i32: t * K + k of each row of the token side
    RowsId token_rows, expert_rows;
  };
  virtual ~MoeRoutes() = default;

  /// Settles the gate (see MoeGate::settle) and decides where its choices go.
  virtual Saved plan(Builder& b, const MoeGate::Saved& gate) = 0;
  /// Rows of the token side [.,D] to the expert side; returns its rows (the same buffer on one
  /// rank).
  virtual BufferId to_experts(Builder& b, const Saved& saved, BufferId rows, const char* name) = 0;
  /// The way back.
  virtual BufferId to_tokens(Builder& b, const Saved& saved, BufferId rows, const char* name) = 0;
  /// [E + 1] rows of each expert on the expert side; valid while operations run.
  virtual std::span<const int64_t> offsets() const = 0;
};

/// By the builder's Parallel. @param ops of the graph; outlives the routes.
std::shared_ptr<MoeRoutes> make_routes(const Builder& b, const MoeGate& gate, const ExpertOps& ops);

}  // namespace hecate::models
