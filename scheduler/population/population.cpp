#include "scheduler/population/population.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <tuple>

#include "runtime/base/error.h"

namespace hecate::population {
namespace {

// Counters of the first draws are members' numbers; those of decisions begin here.
constexpr uint64_t kDecisions = uint64_t{1} << 32;

}  // namespace

std::string name_of(MemberState state) {
  switch (state) {
    case MemberState::waiting:
      return "waiting";
    case MemberState::running:
      return "running";
    case MemberState::finished:
      return "finished";
    case MemberState::given_up:
      break;
  }
  return "given up";
}

Population::Population(const PopulationConfig& config, int64_t steps, uint64_t seed)
    : config_(config), space_(config.search), steps_(steps), seed_(seed) {}

std::vector<Event> Population::beginning() const {
  std::vector<Event> events;
  for (int member = 0; member < config_.members; ++member) {
    Draws draws(seed_, static_cast<uint64_t>(member));
    Event event;
    event.kind = EventKind::member;
    event.member = member;
    event.point = space_.sample(draws);
    events.push_back(std::move(event));
  }
  return events;
}

std::string Population::directory(int member, int incarnation) {
  char name[64];
  std::snprintf(name, sizeof name, "members/%02d.%d", member, incarnation);
  return name;
}

int64_t Population::progress(const Score& score) const {
  return config_.interval_unit == "tokens" ? score.tokens : score.step;
}

int64_t Population::progress(const Member& member) const {
  return config_.interval_unit == "tokens" ? member.tokens : member.step;
}

MemberState Population::state(const Member& member) const {
  if (member.gave_up) return MemberState::given_up;
  if (member.lease) return MemberState::running;
  return member.step >= steps_ && !member.diverged ? MemberState::finished : MemberState::waiting;
}

bool Population::finished() const {
  return !members_.empty() && std::ranges::all_of(members_, [&](const Member& member) {
    const MemberState now = state(member);
    return now == MemberState::finished || now == MemberState::given_up;
  });
}

bool Population::may_donate(const Member& member) const {
  return member.scored && !member.diverged && !member.gave_up && member.step > 0 &&
         member.step < steps_;
}

// Scores up to where `self` is: who is ahead of it is no better for that.
std::vector<Standing> Population::standings(const Member& self) const {
  std::vector<Standing> all;
  for (const Member& member : members_) {
    Standing standing;
    standing.donor = may_donate(member);
    for (const Score& score : member.history)
      if (member.id == self.id || standing.scores.empty() || progress(score) <= progress(self))
        standing.scores.push_back(score.value);
    if (member.diverged && !standing.scores.empty()) standing.scores.back() = std::nan("");
    all.push_back(std::move(standing));
  }
  return all;
}

std::optional<Event> Population::lease_of(const Member& member, const std::string& worker) const {
  Event event;
  event.kind = EventKind::lease;
  event.member = member.id;
  event.lease = leases_ + 1;
  event.worker = worker;
  event.point = member.pending ? member.pending_point : member.point;
  event.copy = member.pending;
  const bool replaceable =
      member.diverged || (member.scored && progress(member) >= config_.burn_in);
  if (member.decided || !replaceable) return event;
  Draws draws(seed_, kDecisions + static_cast<uint64_t>(leases_));
  const auto donor =
      choose_donor(config_, standings(member), static_cast<size_t>(member.id), draws);
  if (!donor) return member.diverged ? std::nullopt : std::optional(event);
  const Member& other = members_[*donor];
  event.copy = Copy{.donor = other.id,
                    .incarnation = other.incarnation,
                    .step = other.step,
                    .donor_score = other.history.back().value,
                    .target_score = member.history.back().value};
  event.point = space_.explore(other.point, config_, draws);
  return event;
}

std::optional<Event> Population::next(const std::string& worker,
                                      const std::function<bool(const Member&)>& may) const {
  std::vector<const Member*> waiting;
  for (const Member& member : members_)
    if (state(member) == MemberState::waiting && may(member)) waiting.push_back(&member);
  std::ranges::stable_sort(waiting, {}, [&](const Member* member) {
    return std::tuple(progress(*member), member->divergences, member->last_worker != worker);
  });
  for (const Member* member : waiting)
    if (auto event = lease_of(*member, worker)) return event;
  // Who diverged waits for somebody to copy; without anybody that is for ever.
  const bool hope = std::ranges::any_of(members_, [&](const Member& member) {
    return !member.diverged && !member.gave_up && member.step < steps_;
  });
  if (waiting.empty() || (hope && config_.exploit != "none")) return std::nullopt;
  Event event;
  event.kind = EventKind::given_up;
  event.member = waiting.front()->id;
  event.reason = config_.exploit == "none" ? "it diverged, and exploit is none"
                                           : "it diverged, and nobody is left to copy";
  return event;
}

Assignment Population::assignment(int member) const {
  const Member& self = members_.at(static_cast<size_t>(member));
  HECATE_CHECK(self.lease, "member ", member, " is not running");
  Assignment assignment;
  assignment.lease = self.lease->id;
  assignment.member = member;
  assignment.copy = self.pending;
  assignment.directory = directory(member, self.incarnation + (self.pending ? 1 : 0));
  assignment.step = self.step;
  int64_t from = progress(self);
  if (self.pending) {
    assignment.donor_directory = directory(self.pending->donor, self.pending->incarnation);
    assignment.step = self.pending->step;
    from = progress(self.pending_history.back());
  }
  assignment.until = (from / config_.interval + 1) * config_.interval;
  assignment.settings = space_.settings(self.pending ? self.pending_point : self.point);
  return assignment;
}

Member& Population::leased(const Event& event) {
  Member& member = members_.at(static_cast<size_t>(event.member));
  HECATE_CHECK(member.lease && member.lease->id == event.lease, "member ", event.member,
               " is not under lease ", event.lease);
  return member;
}

// The donor may have become something else before the copy is whole.
void Population::take_lease(Member& member, const Event& event) {
  HECATE_CHECK(!member.lease && event.lease == leases_ + 1, "lease ", event.lease, " of member ",
               event.member, " is out of order");
  ++leases_;
  member.lease = Lease{event.lease, event.worker};
  member.last_lease = event.lease;
  member.last_worker = event.worker;
  member.decided = true;
  if (!event.copy || member.pending) return;
  const Member& donor = members_.at(static_cast<size_t>(event.copy->donor));
  member.pending = event.copy;
  member.pending_point = event.point;
  member.pending_history.clear();
  for (const Score& score : donor.history)
    if (score.step <= event.copy->step) member.pending_history.push_back(score);
  HECATE_CHECK(!member.pending_history.empty() && donor.incarnation == event.copy->incarnation,
               "member ", donor.id, " has no checkpoint of step ", event.copy->step, " to copy");
  member.pending_ancestors = donor.ancestors;
  member.pending_ancestors.push_back(donor.id);
}

void Population::become_copy(Member& member) {
  HECATE_CHECK(member.pending, "member ", member.id, " was not to become a copy");
  member.history = std::move(member.pending_history);
  member.ancestors = std::move(member.pending_ancestors);
  member.incarnation += 1;
  member.step = member.pending->step;
  member.tokens = member.history.back().tokens;
  member.point = member.pending_point;
  member.pending.reset();
  member.scored = false;
  member.diverged = false;
}

void Population::take_report(Member& member, const Event& event) {
  member.step = event.step;
  member.tokens = event.tokens;
  member.history.push_back({event.step, event.tokens, event.score});
  member.scored = true;
  member.diverged = std::isnan(event.score);
  member.decided = false;
  member.failures = 0;
  member.divergences = member.diverged ? member.divergences + 1 : 0;
  if (member.divergences > config_.retries) member.gave_up = true;
  member.reported_lease = event.lease;
  member.lease.reset();
}

void Population::take_failure(Member& member, const Event& event) {
  member.lease.reset();
  if (event.diverged) {
    member.history.push_back({member.step, member.tokens, std::nan("")});
    member.diverged = true;
    member.decided = false;
    if (++member.divergences > config_.retries) member.gave_up = true;
    return;
  }
  if (++member.failures > config_.retries) member.gave_up = true;
}

void Population::apply(const Event& event) {
  if (event.kind == EventKind::member) {
    HECATE_CHECK(event.member == std::ssize(members_), "member ", event.member, " is out of order");
    HECATE_CHECK(event.point.size() == space_.dimensions().size(), "member ", event.member,
                 ": values of another search space");
    Member& member = members_.emplace_back();
    member.id = event.member;
    member.point = event.point;
    return;
  }
  HECATE_CHECK(event.member >= 0 && event.member < std::ssize(members_), "there is no member ",
               event.member);
  Member& member = members_[static_cast<size_t>(event.member)];
  switch (event.kind) {
    case EventKind::lease:
      return take_lease(member, event);
    case EventKind::copied:
      return become_copy(leased(event));
    case EventKind::copy_failed:
      leased(event).lease.reset();
      member.pending.reset();
      member.decided = false;
      return;
    case EventKind::report:
      // A worker that was thought to be gone may come back with what it did.
      HECATE_CHECK(member.last_lease == event.lease && member.reported_lease != event.lease &&
                       !member.pending,
                   "lease ", event.lease, " of member ", event.member, " has nothing to report");
      return take_report(member, event);
    case EventKind::failed:
      return take_failure(leased(event), event);
    case EventKind::revoked:
      leased(event).lease.reset();
      return;
    case EventKind::given_up:
      member.gave_up = true;
      return;
    case EventKind::member:
      return;
  }
}

std::optional<int> Population::best() const {
  const auto all = [&](bool finished_only) {
    std::vector<int> ids;
    std::vector<Standing> standings;
    for (const Member& member : members_) {
      const bool counts = member.scored && !member.diverged &&
                          (!finished_only || state(member) == MemberState::finished);
      Standing standing;
      if (counts) standing.scores = {member.history.back().value};
      standings.push_back(std::move(standing));
    }
    const std::vector<size_t> ranked = ranking(config_, standings);
    return ranked.empty() ? std::optional<int>() : std::optional(static_cast<int>(ranked.back()));
  };
  const auto finished_best = all(true);
  return finished_best ? finished_best : all(false);
}

}  // namespace hecate::population
