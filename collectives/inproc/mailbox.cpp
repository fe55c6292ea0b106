#include "collectives/inproc/mailbox.h"

#include <cstring>
#include <iterator>

#include "runtime/base/error.h"

namespace hecate::collectives::inproc {

void Mailbox::match(int source, int destination, const Post& send, const Post& receive) {
  std::string error;
  if (send.bytes != receive.bytes) {
    error = concat(send.bytes, " bytes sent, ", receive.bytes, " expected");
  } else if (send.bytes > 0) {
    std::memcpy(receive.data, send.data, static_cast<size_t>(send.bytes));
  }
  completions_[static_cast<size_t>(source)].push_back({.ticket = send.ticket, .error = error});
  completions_[static_cast<size_t>(destination)].push_back(
      {.ticket = receive.ticket, .error = error});
}

void Mailbox::send(int source, int destination, MessageKey key, const Post& post) {
  const Channel name = channel(source, destination, key);
  Waiting& waiting = waiting_[name];
  if (waiting.receives.empty()) {
    waiting.sends.push_back(post);
    return;
  }
  const Post receive = waiting.receives.front();
  waiting.receives.pop_front();
  if (waiting.receives.empty()) waiting_.erase(name);
  match(source, destination, post, receive);
}

void Mailbox::receive(int source, int destination, MessageKey key, const Post& post) {
  const Channel name = channel(source, destination, key);
  Waiting& waiting = waiting_[name];
  if (waiting.sends.empty()) {
    waiting.receives.push_back(post);
    return;
  }
  const Post send = waiting.sends.front();
  waiting.sends.pop_front();
  if (waiting.sends.empty()) waiting_.erase(name);
  match(source, destination, send, post);
}

void Mailbox::take_completions(int rank, std::vector<Completion>& completions) {
  auto& mine = completions_[static_cast<size_t>(rank)];
  completions.insert(completions.end(), std::make_move_iterator(mine.begin()),
                     std::make_move_iterator(mine.end()));
  mine.clear();
}

void Mailbox::cancel(int rank, uint64_t operation) {
  const auto stale = [&](const Post& post) { return post.ticket.operation == operation; };
  for (auto at = waiting_.begin(); at != waiting_.end();) {
    if (std::get<0>(at->first) == rank) std::erase_if(at->second.sends, stale);
    if (std::get<1>(at->first) == rank) std::erase_if(at->second.receives, stale);
    const bool empty = at->second.sends.empty() && at->second.receives.empty();
    at = empty ? waiting_.erase(at) : std::next(at);
  }
}

void MailboxTransport::send(int peer, MessageKey key, const void* data, int64_t bytes,
                            bool /*bulk*/, Ticket ticket) {
  mailbox_->send(
      rank_, peer, key,
      {.data = static_cast<std::byte*>(const_cast<void*>(data)), .bytes = bytes, .ticket = ticket});
}

void MailboxTransport::receive(int peer, MessageKey key, void* data, int64_t bytes, Ticket ticket) {
  mailbox_->receive(peer, rank_, key,
                    {.data = static_cast<std::byte*>(data), .bytes = bytes, .ticket = ticket});
}

}  // namespace hecate::collectives::inproc
