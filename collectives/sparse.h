#pragma once
#include <cstdint>
#include <span>

#include "collectives/communicator.h"
#include "collectives/sparse_schedule.h"

/// The sparse collectives (arXiv 2502.02581, section 4.2) on a communicator. A schedule comes from
/// plan_gather or plan_reduce, equal on all ranks; its ranks are the communicator's.
namespace hecate::collectives {

/// spAG: where this rank holds a chunk (chunks[e] != null), it ends with the owner's values.
/// All ranks must call. Buffers stay untouched until the handle is done.
/// @param stored type of the memory. @param wire what travels: `stored`, or bf16 for f32 masters
///   (then non-owners get values rounded to bf16); the schedule's sizes count the wire type.
/// @throws InvalidArgument when a buffer of a held chunk is missing or a size is no multiple.
Work sparse_all_gather(const Communicator& communicator, const SparseSchedule& schedule,
                       std::span<void* const> chunks, DType stored, DType wire);

/// spRS: the owner of chunk e gets, in outputs[e], the sum of inputs[e] over all its holders, in
/// the order that plan_reduce states; bf16 is added in f32. All ranks must call. Inputs are not
/// written (an output may be its own input).
Work sparse_reduce_scatter(const Communicator& communicator, const SparseSchedule& schedule,
                           std::span<const void* const> inputs, std::span<void* const> outputs,
                           DType type);

}  // namespace hecate::collectives
