#include "collectives/nccl/types.h"

#include "runtime/base/error.h"

namespace hecate::collectives::nccl {

ncclDataType_t native_type(DType type) {
  switch (type) {
    case DType::f64:
      return ncclFloat64;
    case DType::f32:
      return ncclFloat32;
    case DType::bf16:
      return ncclBfloat16;
    case DType::i64:
      return ncclInt64;
    case DType::i32:
      return ncclInt32;
    case DType::u8:
      return ncclUint8;
    case DType::u16:
      break;
  }
  throw InvalidArgument(concat("nccl: no type for ", name_of(type)));
}

ncclRedOp_t native_op(ReduceOp op) {
  switch (op) {
    case ReduceOp::sum:
      return ncclSum;
    case ReduceOp::max:
      return ncclMax;
    case ReduceOp::min:
      return ncclMin;
  }
  throw InvalidArgument("nccl: unknown reduction");
}

bool adds_exactly(DType type, ReduceOp op) {
  return type != DType::bf16 || op != ReduceOp::sum;
}

}  // namespace hecate::collectives::nccl
