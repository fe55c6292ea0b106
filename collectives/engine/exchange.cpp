#include "collectives/engine/exchange.h"

#include <algorithm>
#include <deque>
#include <memory>

#include "runtime/base/error.h"

namespace hecate::collectives {

struct ExchangeBuilder::Notes {
  struct Note {
    int peer;
    int64_t bytes;      // here
    int64_t told;       // sent, or received from the peer
    int32_t step = -1;  // that receives it
  };
  std::deque<Note> notes;  // stay where they are

  void check(int32_t step, int rank) const {
    for (const Note& note : notes)
      HECATE_CHECK(note.step != step || note.told == note.bytes, "exchange: rank ", note.peer,
                   " sends a message of ", note.told, " bytes, rank ", rank, " expects ",
                   note.bytes);
  }
};

void ExchangeBuilder::add(std::vector<Piece>& pieces, Notes* notes, bool sent, int peer,
                          const void* data, int64_t bytes, int64_t segment_bytes) {
  if (bytes == 0) return;
  const int n = static_cast<int>(sent_.size());
  uint32_t& position = (sent ? sent_ : received_)[static_cast<size_t>(peer)];
  const int distance = ((sent ? peer - rank_ : rank_ - peer) + n) % n;
  if (notes != nullptr) {
    auto& note =
        notes->notes.emplace_back(Notes::Note{.peer = peer, .bytes = bytes, .told = bytes});
    pieces.push_back({.position = position++,
                      .distance = distance,
                      .sent = sent,
                      .peer = peer,
                      .data = reinterpret_cast<std::byte*>(&note.told),
                      .bytes = sizeof(note.told),
                      .note = static_cast<int>(notes->notes.size()) - 1});
  }
  for (int64_t begin = 0; begin < bytes; begin += segment_bytes)
    pieces.push_back({.position = position++,
                      .distance = distance,
                      .sent = sent,
                      .peer = peer,
                      .data = memory(data).data + begin,
                      .bytes = std::min(segment_bytes, bytes - begin),
                      .note = -1});
}

Submission ExchangeBuilder::build(std::span<const Send> sends, std::span<const Receive> receives,
                                  int64_t segment_bytes, bool checked) {
  const auto notes = checked ? std::make_shared<Notes>() : nullptr;
  std::vector<Piece> pieces;
  for (const Send& send : sends)
    add(pieces, notes.get(), true, send.peer, send.data, send.bytes, segment_bytes);
  for (const Receive& receive : receives)
    add(pieces, notes.get(), false, receive.peer, receive.data, receive.bytes, segment_bytes);
  // One order that both ends of every channel share: by position on the channel, then by distance.
  std::stable_sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
    return a.position != b.position ? a.position < b.position : a.distance < b.distance;
  });
  ProgramBuilder builder(static_cast<int>(sent_.size()), DType::u8);
  for (const Piece& piece : pieces) {
    const Operand operand = memory(piece.data);
    const int32_t step = piece.sent ? builder.send(piece.peer, operand, piece.bytes)
                                    : builder.receive(piece.peer, operand, piece.bytes);
    if (piece.note >= 0 && !piece.sent) notes->notes[static_cast<size_t>(piece.note)].step = step;
  }
  Submission submission;
  submission.program = builder.take();
  for (size_t i = 0; i < pieces.size(); ++i) submission.program.steps[i].index = pieces[i].position;
  submission.name = "exchange";
  submission.point_to_point = true;
  if (checked)
    submission.received = [notes, rank = rank_](int32_t step) { notes->check(step, rank); };
  return submission;
}

}  // namespace hecate::collectives
