#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hecate::collectives {

/// Names a message between two ranks. Two messages of one key match in posting order.
struct MessageKey {
  uint32_t context = 0;   ///< communicator
  uint32_t sequence = 0;  ///< operation in it
  uint32_t index = 0;     ///< transfer on the channel
};

/// Which step of which operation a transfer belongs to.
struct Ticket {
  uint64_t operation = 0;
  int32_t step = 0;
};

struct Completion {
  Ticket ticket;
  std::string error;  ///< empty: it arrived
};

/// Moves bytes between ranks, without blocking. Used by one thread, the one that drives the engine.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual const char* name() const = 0;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// Node of every rank.
  virtual std::span<const int> nodes() const = 0;

  /// Memory stays valid until the completion is reported. A receive of another length than what
  /// was sent fails on at least the receiver.
  /// @param bulk report completion only when the peer has the message, so that the sender can
  ///   limit what is on its way.
  virtual void send(int peer, MessageKey key, const void* data, int64_t bytes, bool bulk,
                    Ticket ticket) = 0;
  virtual void receive(int peer, MessageKey key, void* data, int64_t bytes, Ticket ticket) = 0;
  /// Appends what has completed since the last call.
  virtual void poll(std::vector<Completion>& completions) = 0;
  /// Gives up an operation's transfers; nothing of it is reported any more.
  virtual void cancel(uint64_t operation) = 0;
};

}  // namespace hecate::collectives
