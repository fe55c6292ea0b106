#pragma once
#include <cstdint>
#include <span>

#include "collectives/engine/program.h"
#include "collectives/sparse_schedule.h"

namespace hecate::collectives {

/// One rank's part of a planned gather. @param chunks per chunk: this rank's memory, null where it
///   does not hold the chunk. @param stored,wire types of the memory and of what travels: equal, or
///   f32 stored and bf16 on the wire (non-owners then get rounded values). The schedule's
///   chunk_bytes count the wire type.
Program gather_program(const SparseSchedule& schedule, int rank, int ranks,
                       std::span<void* const> chunks, DType stored, DType wire,
                       int64_t segment_bytes);

/// One rank's part of a planned reduction. @param inputs per chunk as above, not written;
///   @param outputs per chunk: where the owner puts the sum (may be the input).
Program reduce_program(const SparseSchedule& schedule, int rank, int ranks,
                       std::span<const void* const> inputs, std::span<void* const> outputs,
                       DType type, int64_t segment_bytes);

}  // namespace hecate::collectives
