#pragma once
#include <vector>

#include "collectives/bench/context.h"
#include "collectives/sparse.h"

namespace hecate::collectives::bench {

/// A gather to run beside other things: every rank owns one chunk, which everybody gets.
class Bulk {
 public:
  /// All ranks must call. @param bytes of one chunk.
  Bulk(const Context& context, int64_t bytes);
  Work start() const;

 private:
  Communicator comm_;
  SparseSchedule schedule_;
  std::vector<std::vector<float>> chunks_;
  std::vector<void*> data_;
};

}  // namespace hecate::collectives::bench
