#pragma once
#include <nccl.h>

#include "collectives/reduce_op.h"
#include "runtime/tensor/dtype.h"

namespace hecate::collectives::nccl {

/// NCCL's name of a type. @throws InvalidArgument for u16, which it does not have (moves are of
/// bytes).
ncclDataType_t native_type(DType type);
ncclRedOp_t native_op(ReduceOp op);
/// Whether NCCL's arithmetic is what a Communicator promises but for the order: not so for sums of
/// bf16, which it rounds at every step.
bool adds_exactly(DType type, ReduceOp op);

}  // namespace hecate::collectives::nccl
