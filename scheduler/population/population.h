#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "scheduler/population/config.h"
#include "scheduler/population/exploit.h"
#include "scheduler/population/search_space.h"

/// A population as a pure state machine: its state is what a list of events made of it, so the
/// journal of the events is all that a restarted controller needs.
///
/// A member is a training run under a lease while a worker has it, else it waits. It becomes a copy
/// only by beginning a new *incarnation*, in a directory of its own: until `copied` says that this
/// is whole, the old one stays what it was.
namespace hecate::population {

/// After `step` updates and `tokens` tokens a member had this score; NaN: it diverged.
struct Score {
  int64_t step = 0, tokens = 0;
  double value = 0;
};

/// Which state is copied: the checkpoint of `step` of incarnation `incarnation` of `donor`.
struct Copy {
  int donor = 0;
  int incarnation = 0;
  int64_t step = 0;
  double donor_score = 0, target_score = 0;
};

enum class EventKind : uint8_t {
  member,       ///< there is a member; its first values
  lease,        ///< a worker got it, maybe to become a copy first, then with `point`
  copied,       ///< it is a copy now
  copy_failed,  ///< the donor's checkpoint was gone; decided again by the next lease
  report,       ///< it reached step and score; its checkpoint is on disk
  failed,       ///< the worker gave it back with an error
  revoked,      ///< the worker is gone
  given_up      ///< too many failures, or diverged with nobody left to copy
};

struct Event {
  EventKind kind = EventKind::member;
  int member = 0;
  int64_t lease = 0;
  std::string worker;
  Point point;
  std::optional<Copy> copy;
  int64_t step = 0, tokens = 0;
  double score = 0;
  bool diverged = false;
  std::string reason;
  double seconds = 0;  ///< since the population began; no part of the state
};

enum class MemberState : uint8_t { waiting, running, finished, given_up };
/// "waiting", "running", "finished", "given up".
std::string name_of(MemberState state);

struct Lease {
  int64_t id = 0;
  std::string worker;
};

struct Member {
  int id = 0;
  int incarnation = 0;
  Point point;
  int64_t step = 0, tokens = 0;  ///< of the newest checkpoint that was reported
  std::vector<Score> history;    ///< of this state, before a copy the donor's
  std::vector<int> ancestors;    ///< donors, oldest first; empty: never a copy
  bool scored = false;           ///< since it became a copy
  bool diverged = false;
  bool gave_up = false;
  bool decided = false;  ///< about what becomes of it after its last report
  std::optional<Copy> pending;
  Point pending_point;
  std::vector<Score> pending_history;  ///< the donor's when it was chosen
  std::vector<int> pending_ancestors;
  std::optional<Lease> lease;
  std::string last_worker;
  int64_t last_lease = 0, reported_lease = 0;
  int64_t failures = 0;     ///< in a row
  int64_t divergences = 0;  ///< in a row
};

/// What a worker is to do with a member.
struct Assignment {
  int64_t lease = 0;
  int member = 0;
  std::string directory;        ///< of the incarnation, as "members/03.1"
  std::optional<Copy> copy;     ///< make `directory` from `donor_directory` first
  std::string donor_directory;  ///< with `copy`
  int64_t step = 0;             ///< of the checkpoint to go on from, at least
  int64_t until = 0;            ///< train to here, in `interval_unit`
  Settings settings;
};

class Population {
 public:
  /// @param steps a member is finished after them. @throws InvalidArgument from the search space.
  Population(const PopulationConfig& config, int64_t steps, uint64_t seed);

  /// The events that a new population begins with.
  std::vector<Event> beginning() const;
  /// @throws InvalidArgument for an event that cannot follow on those before.
  void apply(const Event& event);

  /// What a worker that asks for work gets: of the waiting members that `may` be taken the least
  /// advanced one, of equal ones who diverged least, the one that `worker` had last, then the
  /// lowest number. What becomes of it is decided here and not when it reports, so that members
  /// that take turns are compared after all had theirs; others count by their score up to the same
  /// point of training.
  /// @return a lease, or a member given up (ask again then), or nothing: no member waits.
  std::optional<Event> next(const std::string& worker,
                            const std::function<bool(const Member&)>& may) const;
  /// Of a member that is running.
  Assignment assignment(int member) const;

  std::span<const Member> members() const { return members_; }
  MemberState state(const Member& member) const;
  const PopulationConfig& config() const { return config_; }
  const SearchSpace& space() const { return space_; }
  int64_t steps() const { return steps_; }
  /// Nobody waits or runs.
  bool finished() const;
  /// The finished member with the best score, else the best one that has a checkpoint.
  std::optional<int> best() const;
  /// Of `member` as it is now; "members/03.1".
  static std::string directory(int member, int incarnation);

 private:
  int64_t progress(const Score& score) const;
  int64_t progress(const Member& member) const;
  bool may_donate(const Member& member) const;
  std::vector<Standing> standings(const Member& self) const;
  std::optional<Event> lease_of(const Member& member, const std::string& worker) const;
  Member& leased(const Event& event);
  void take_lease(Member& member, const Event& event);
  void become_copy(Member& member);
  void take_report(Member& member, const Event& event);
  void take_failure(Member& member, const Event& event);

  PopulationConfig config_;
  SearchSpace space_;
  int64_t steps_;
  uint64_t seed_;
  std::vector<Member> members_;
  int64_t leases_ = 0;
};

}  // namespace hecate::population
