#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "collectives/communicator.h"
#include "collectives/engine/operation.h"

namespace hecate::collectives {

/// Turns calls of Communicator::exchange into programs; knows how many transfers have used each
/// channel.
class ExchangeBuilder {
 public:
  ExchangeBuilder(int rank, int ranks)
      : rank_(rank), sent_(static_cast<size_t>(ranks)), received_(static_cast<size_t>(ranks)) {}

  /// @param checked a note with its size goes ahead of every message that is not empty, and the
  ///   receiver compares.
  /// @return program, what checks it, and the memory that it needs.
  Submission build(std::span<const Send> sends, std::span<const Receive> receives,
                   int64_t segment_bytes, bool checked);

 private:
  struct Notes;
  // A segment of a message, or the note ahead of it (index < 0).
  struct Piece {
    uint32_t position;
    int distance;
    bool sent;
    int peer;
    std::byte* data;
    int64_t bytes;
    int note;  // index in Notes, or -1
  };

  void add(std::vector<Piece>& pieces, Notes* notes, bool sent, int peer, const void* data,
           int64_t bytes, int64_t segment_bytes);

  int rank_;
  std::vector<uint32_t> sent_, received_;  // transfers per peer so far
};

}  // namespace hecate::collectives
