#pragma once
#include <deque>
#include <map>
#include <tuple>
#include <vector>

#include "collectives/engine/transport.h"

namespace hecate::collectives::inproc {

/// Where sends and receives of ranks in one process meet. Used by one thread.
class Mailbox {
 public:
  explicit Mailbox(int ranks) : completions_(static_cast<size_t>(ranks)) {}

  struct Post {
    std::byte* data = nullptr;
    int64_t bytes = 0;
    Ticket ticket;
  };
  void send(int source, int destination, MessageKey key, const Post& post);
  void receive(int source, int destination, MessageKey key, const Post& post);
  void take_completions(int rank, std::vector<Completion>& completions);
  /// Drops a rank's unmatched posts of an operation.
  void cancel(int rank, uint64_t operation);
  int ranks() const { return static_cast<int>(completions_.size()); }

 private:
  using Channel = std::tuple<int, int, uint32_t, uint32_t, uint32_t>;
  struct Waiting {
    std::deque<Post> sends, receives;
  };

  void match(int source, int destination, const Post& send, const Post& receive);
  static Channel channel(int source, int destination, MessageKey key) {
    return {source, destination, key.context, key.sequence, key.index};
  }

  std::map<Channel, Waiting> waiting_;
  std::vector<std::vector<Completion>> completions_;
};

/// One rank's end of a mailbox.
class MailboxTransport final : public Transport {
 public:
  MailboxTransport(Mailbox& mailbox, int rank, std::vector<int> nodes)
      : mailbox_(&mailbox), rank_(rank), nodes_(std::move(nodes)) {}
  const char* name() const override { return "inproc"; }
  int rank() const override { return rank_; }
  int size() const override { return mailbox_->ranks(); }
  std::span<const int> nodes() const override { return nodes_; }
  void send(int peer, MessageKey key, const void* data, int64_t bytes, bool bulk,
            Ticket ticket) override;
  void receive(int peer, MessageKey key, void* data, int64_t bytes, Ticket ticket) override;
  void poll(std::vector<Completion>& completions) override {
    mailbox_->take_completions(rank_, completions);
  }
  void cancel(uint64_t operation) override { mailbox_->cancel(rank_, operation); }

 private:
  Mailbox* mailbox_;
  int rank_;
  std::vector<int> nodes_;
};

}  // namespace hecate::collectives::inproc
