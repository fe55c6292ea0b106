#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "runtime/io/npy.h"

namespace hecate::launcher {

struct LoadTraceShape {
  int64_t ranks = 1;
  int64_t layers = 0;  ///< that have experts
  int64_t experts = 0;
  int64_t tokens = 0;  ///< of one rank in a step: the largest count there can be
};

/// The run's load trace: a .npy array [step, rank, layer, expert] of how many tokens each rank sent
/// to each expert, uint16 where tokens allow it, else uint32; row 0 is the first step. What
/// `router.source = replay:FILE` reads. One process per run writes it.
class LoadTraceWriter {
 public:
  /// Opens or creates the file of a run that continues after `step` (0: from the start): later
  /// steps are dropped; steps that were not recorded are zeros.
  /// @throws IoError; InvalidArgument naming the file if it holds another shape, as after a resume
  ///   with another number of ranks.
  LoadTraceWriter(const std::filesystem::path& path, const LoadTraceShape& shape, int64_t step);

  /// The next step. @param counts [rank][layer][expert].
  /// @throws InvalidArgument for another number of counts or one above `tokens`; IoError.
  void append(std::span<const int64_t> counts);
  /// Makes what was appended durable and visible: before every checkpoint.
  void flush() { file_.flush(); }

  /// Steps before the first recorded one.
  int64_t missing() const { return file_.filled(); }

 private:
  template <class T>
  void append_as(std::span<const int64_t> counts);

  LoadTraceShape shape_;
  bool narrow_;
  io::NpyAppender file_;
  std::vector<std::byte> row_;
};

}  // namespace hecate::launcher
