#include "scheduler/pbt/coordinator.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "runtime/base/error.h"
#include "scheduler/pbt/event_text.h"
#include "scheduler/pbt/journal.h"

namespace hecate::pbt {
namespace {

using Json = nlohmann::json;
using population::Event;
using population::EventKind;
using population::Member;
using population::MemberState;

constexpr const char* kFormat = "hecate-pbt-journal";
constexpr int kFormatVersion = 1;
constexpr FrameLimits kStranger = {.text = 1u << 12, .blob = 0};
constexpr double kFirstRetrySeconds = 1, kLastRetrySeconds = 60;
constexpr size_t kMostName = 128;
constexpr std::chrono::seconds kLongest{20};  // that a worker is left without an answer

std::chrono::steady_clock::duration seconds(double value) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(value));
}

double number_of(const Json& value) {
  return value.is_null() ? std::nan("") : value.get<double>();
}

std::vector<StoredFile> files_of(const Json& list) {
  std::vector<StoredFile> files;
  for (const Json& file : list)
    files.push_back({.name = file.at("name").get<std::string>(),
                     .bytes = file.at("bytes").get<uint64_t>(),
                     .checksum = file.at("checksum").get<uint32_t>()});
  return files;
}

Json to_json(const std::vector<StoredFile>& files) {
  Json list = Json::array();
  for (const StoredFile& file : files)
    list.push_back({{"name", file.name}, {"bytes", file.bytes}, {"checksum", file.checksum}});
  return list;
}

// What a member was asked about is no longer the worker's business.
class Stale : public std::exception {};

}  // namespace

class Coordinator::Impl {
 public:
  Impl(const CoordinatorOptions& options, Time now)
      : options_(options),
        population_(options.population, options.steps, options.seed),
        journal_(options.journal),
        began_(now) {
    journal_.lines().empty() ? begin() : resume(now);
  }

  void opened(Connection connection, Time now) { sessions_[connection].heard = now; }

  void received(Connection connection, const Message& message, Time now) {
    const auto found = sessions_.find(connection);
    if (found == sessions_.end() || found->second.refused) return;
    found->second.heard = now;
    now_ = now;
    int64_t id = 0;
    try {
      const Json json = Json::parse(message.text);
      HECATE_CHECK(json.is_object(), "expected a JSON object");
      id = json.value("id", int64_t{0});
      handle(connection, found->second, json, message.blob, id);
    } catch (const Stale&) {
      reply(connection, id, {{"type", "stale"}});
    } catch (const nlohmann::json::exception& error) {
      refuse(connection, error.what());
    } catch (const InvalidArgument& error) {
      refuse(connection, error.what());
    }
    serve();
  }

  void closed(Connection connection, Time now) {
    const auto found = sessions_.find(connection);
    if (found == sessions_.end()) return;
    now_ = now;
    forget(found->second.worker, connection);
    sessions_.erase(found);
  }

  FrameLimits limits(Connection connection) const {
    const auto found = sessions_.find(connection);
    return found == sessions_.end() || found->second.worker.empty() ? kStranger : FrameLimits();
  }

  void tick(Time now) {
    now_ = now;
    for (auto& [connection, session] : sessions_)
      if (!session.refused && now - session.heard > seconds(config().timeout_seconds))
        refuse(connection, concat("silent for ", config().timeout_seconds, " seconds"), true);
    for (const Member& member : population_.members()) {
      if (!member.lease || connected(member.lease->worker)) continue;
      const auto lost = lost_.find(member.lease->worker);
      if (lost == lost_.end() || now - lost->second <= seconds(config().reconnect_seconds))
        continue;
      Event event = event_for(EventKind::revoked, member);
      event.reason = "its worker is gone";
      take(event);
    }
    changed_ = true;  // members that failed may be tried again
    serve();
    for (auto& [connection, session] : sessions_)
      if (session.parked && now - session.parked_since > kLongest)
        reply(connection, *std::exchange(session.parked, std::nullopt), {{"type", "later"}});
  }

  std::vector<Reply> commit() {
    journal_.sync();
    return std::exchange(outbox_, {});
  }

  void refuse(Connection connection, const std::string& reason, bool again = false) {
    const auto found = sessions_.find(connection);
    if (found == sessions_.end() || found->second.refused) return;
    found->second.refused = true;
    found->second.parked.reset();
    forget(found->second.worker, connection);
    const Json json = {{"type", "refused"}, {"reason", reason}, {"again", again}};
    outbox_.push_back(
        {connection, {json.dump(-1, ' ', true, Json::error_handler_t::replace), {}}, true});
  }

  bool connected(const std::string& worker) const { return connections_.contains(worker); }

  const population::Population& population() const { return population_; }
  const std::vector<Event>& events() const { return events_; }
  const std::map<int, Live>& live() const { return live_; }
  size_t workers() const { return connections_.size(); }

 private:
  struct Session {
    std::string worker;             // empty: has not said hello
    std::optional<int64_t> parked;  // id of a `ready` that waits
    Time parked_since;
    bool refused = false;
    Time heard;
  };

  const population::PopulationConfig& config() const { return options_.population; }

  void forget(const std::string& worker, Connection connection) {
    const auto found = connections_.find(worker);
    if (found == connections_.end() || found->second != connection) return;
    connections_.erase(found);
    lost_[worker] = now_;
  }

  Json header() const {
    Json values = Json::array();
    for (const auto& dimension : population_.space().dimensions()) values.push_back(dimension.key);
    return {{"format", kFormat},       {"version", kFormatVersion},   {"seed", options_.seed},
            {"steps", options_.steps}, {"members", config().members}, {"search", values}};
  }

  void begin() {
    journal_.append(header().dump());
    for (const Event& event : population_.beginning()) take(event);
  }

  void resume(Time now) {
    const std::vector<std::string>& lines = journal_.lines();
    const std::string place = options_.journal.string();
    const Json found = Json::parse(lines.front(), nullptr, false);
    HECATE_CHECK(found == header(), place, ":1: of another population: expected ", header().dump(),
                 ", found ", lines.front());
    for (size_t i = 1; i < lines.size(); ++i) {
      try {
        events_.push_back(event_of(lines[i], population_.space()));
        population_.apply(events_.back());
      } catch (const InvalidArgument& error) {
        throw InvalidArgument(concat(place, ":", i + 1, ": ", error.what()));
      }
    }
    // A crash may have come between the first members.
    const std::vector<Event> beginning = population_.beginning();
    for (size_t i = population_.members().size(); i < beginning.size(); ++i) take(beginning[i]);
    for (const Member& member : population_.members())
      if (member.lease) lost_[member.lease->worker] = now;
    if (!events_.empty()) offset_seconds_ = events_.back().seconds;
  }

  void take(Event event) {
    event.seconds =
        offset_seconds_ + std::max(0.0, std::chrono::duration<double>(now_ - began_).count());
    population_.apply(event);
    journal_.append(to_text(event, population_.space()));
    events_.push_back(std::move(event));
    changed_ = true;
  }

  Event event_for(EventKind kind, const Member& member) const {
    Event event;
    event.kind = kind;
    event.member = member.id;
    if (member.lease) event.lease = member.lease->id;
    return event;
  }

  void reply(Connection connection, int64_t id, Json json, std::string blob = {}) {
    json["id"] = id;
    outbox_.push_back({connection,
                       {json.dump(-1, ' ', true, Json::error_handler_t::replace), std::move(blob)},
                       false});
  }

  void handle(Connection connection, Session& session, const Json& json, const std::string& blob,
              int64_t id) {
    const auto type = json.at("type").get<std::string>();
    if (session.worker.empty()) {
      HECATE_CHECK(type == "hello", "'", type, "' before hello");
      return greet(connection, session, json, id);
    }
    HECATE_CHECK(type != "hello", "hello twice");
    HECATE_CHECK(!session.parked || type == "progress", "'", type, "' while waiting for work");
    if (type == "ready") {
      session.parked = id;
      session.parked_since = now_;
      changed_ = true;
    } else if (type == "progress") {
      hear(json);
      reply(connection, id, {{"type", "alive"}});
    } else if (const Json answer = about_member(session, type, json); !answer.is_null()) {
      reply(connection, id, answer);
    } else {
      about_files(connection, session, type, json, blob, id);
    }
  }

  void greet(Connection connection, Session& session, const Json& json, int64_t id) {
    const auto version = json.at("version").get<std::string>();
    const auto worker = json.at("worker").get<std::string>();
    HECATE_CHECK(equal_secrets(options_.token, json.value("token", std::string())),
                 "the token is not the controller's (HECATE_PBT_TOKEN)");
    HECATE_CHECK(version == options_.version, "this worker is hecate ", version,
                 ", the controller ", options_.version, ": use the same version");
    HECATE_CHECK(!worker.empty() && worker.size() <= kMostName, "a worker needs a name of at most ",
                 kMostName, " characters");
    // The old connection of a worker that came back may not have noticed yet.
    if (const auto old = connections_.find(worker); old != connections_.end())
      refuse(old->second, "a worker of its name connected");
    session.worker = worker;
    connections_[worker] = connection;
    lost_.erase(worker);
    reply(connection, id,
          {{"type", "welcome"},
           {"configuration", options_.configuration},
           {"directory", options_.directory},
           {"probe_name", options_.probe_name},
           {"probe", options_.probe},
           {"heartbeat_seconds", config().heartbeat_seconds},
           {"timeout_seconds", config().timeout_seconds}});
  }

  void hear(const Json& json) {
    if (!json.contains("member")) return;
    const auto member = json.at("member").get<int>();
    if (member < 0 || member >= std::ssize(population_.members())) return;
    live_[member] = {json.at("step").get<int64_t>(), number_of(json.at("loss"))};
  }

  // The member that `json` speaks of, whose lease the worker has or had last.
  const Member& member_of(const Json& json) const {
    const auto index = json.at("member").get<int64_t>();
    HECATE_CHECK(index >= 0 && index < std::ssize(population_.members()), "there is no member ",
                 index);
    return population_.members()[static_cast<size_t>(index)];
  }

  const Member& leased_member(const Session& session, const Json& json) const {
    const Member& member = member_of(json);
    const auto lease = json.at("lease").get<int64_t>();
    if (!member.lease || member.lease->id != lease || member.lease->worker != session.worker)
      throw Stale();
    return member;
  }

  // Null for types that are none of these.
  Json about_member(const Session& session, const std::string& type, const Json& json) {
    if (type == "report") return report(json);
    if (type == "copied") {
      const Member& member = leased_member(session, json);
      if (member.pending) take(event_for(EventKind::copied, member));  // else it says so again
    } else if (type == "copy_failed" || type == "released") {
      const Member& member = leased_member(session, json);
      HECATE_CHECK(type == "released" || member.pending, "copy_failed without a copy");
      Event event =
          event_for(type == "released" ? EventKind::revoked : EventKind::copy_failed, member);
      event.reason = json.value("reason", std::string());
      take(event);
    } else if (type == "failed") {
      fail(leased_member(session, json), json);
    } else {
      return nullptr;
    }
    return {{"type", "noted"}};
  }

  Json report(const Json& json) {
    const Member& member = member_of(json);
    const auto lease = json.at("lease").get<int64_t>();
    if (member.reported_lease == lease && lease > 0) return {{"type", "noted"}};
    if (member.last_lease != lease || member.pending || member.gave_up) throw Stale();
    Event event;
    event.kind = EventKind::report;
    event.member = member.id;
    event.lease = lease;
    event.step = json.at("step").get<int64_t>();
    event.tokens = json.at("tokens").get<int64_t>();
    event.score = number_of(json.at("score"));
    HECATE_CHECK(event.step > member.step && event.step <= options_.steps && event.tokens >= 0,
                 "report of step ", event.step, " of member ", member.id, ": expected ",
                 member.step + 1, " to ", options_.steps);
    take(event);
    live_.erase(member.id);
    return {{"type", "noted"}};
  }

  void fail(const Member& member, const Json& json) {
    Event event = event_for(EventKind::failed, member);
    event.reason = json.value("reason", std::string()).substr(0, 1000);
    event.diverged = json.value("diverged", false);
    take(event);
    live_.erase(member.id);
    if (event.diverged) return;
    const double wait = std::min(
        kLastRetrySeconds,
        kFirstRetrySeconds *
            std::pow(2.0, static_cast<double>(std::min<int64_t>(member.failures, 10) - 1)));
    retry_[member.id] = now_ + seconds(wait);
  }

  void about_files(Connection connection, const Session& session, const std::string& type,
                   const Json& json, const std::string& blob, int64_t id) {
    static const std::vector<std::string> known = {"files", "read", "write", "publish", "copy"};
    HECATE_CHECK(std::ranges::find(known, type) != known.end(), "unknown message '", type, "'");
    const Member& member = leased_member(session, json);
    const population::Assignment mine = population_.assignment(member.id);
    try {
      Json answer = {{"type", "noted"}};
      std::string bytes;
      if (type == "files") {
        int64_t step = 0;
        answer["files"] = to_json(options_.store->files(mine.directory, mine.step, step));
        answer["step"] = step;
      } else if (type == "read") {
        bytes = options_.store->read(
            mine.directory, json.at("step").get<int64_t>(), json.at("file").get<std::string>(),
            json.at("offset").get<uint64_t>(),
            std::min<uint64_t>(json.at("bytes").get<uint64_t>(), kMostBlob));
      } else if (type == "write") {
        options_.store->write(mine.directory, json.at("step").get<int64_t>(),
                              json.at("file").get<std::string>(), json.at("offset").get<uint64_t>(),
                              blob);
      } else if (type == "publish") {
        options_.store->publish(mine.directory, json.at("step").get<int64_t>(),
                                files_of(json.at("files")));
      } else {
        HECATE_CHECK(mine.copy, "copy without a decision");
        options_.store->copy(mine.donor_directory, mine.copy->step, mine.directory, mine.settings);
      }
      reply(connection, id, std::move(answer), std::move(bytes));
    } catch (const Error& error) {  // the file is gone, or the disk full: the worker's to handle
      reply(connection, id, {{"type", "error"}, {"reason", error.what()}});
    }
  }

  // Gives work to those who wait, longest first.
  void serve() {
    if (!std::exchange(changed_, false)) return;
    for (auto& [connection, session] : sessions_) {
      if (!session.parked) continue;
      if (const std::optional<Json> answer = work_for(session)) {
        const int64_t id = *std::exchange(session.parked, std::nullopt);
        reply(connection, id, *answer);
      }
    }
  }

  std::optional<Json> work_for(const Session& session) {
    for (const Member& member : population_.members())
      if (member.lease && member.lease->worker == session.worker) return assignment(member.id);
    const auto may = [&](const Member& member) {
      const auto retry = retry_.find(member.id);
      return retry == retry_.end() || retry->second <= now_;
    };
    while (const std::optional<Event> event = population_.next(session.worker, may)) {
      take(*event);
      if (event->kind == EventKind::lease) return assignment(event->member);
    }
    if (population_.finished()) return Json{{"type", "finish"}};
    return std::nullopt;
  }

  Json assignment(int member) const {
    const population::Assignment work = population_.assignment(member);
    Json settings = Json::array();
    for (const auto& [key, text] : work.settings) settings.push_back({key, text});
    Json json = {{"type", "assign"},
                 {"member", member},
                 {"lease", work.lease},
                 {"directory", work.directory},
                 {"step", work.step},
                 {"until", work.until},
                 {"unit", config().interval_unit},
                 {"metric", config().metric},
                 {"settings", settings}};
    if (work.copy) json["copy"] = {{"directory", work.donor_directory}, {"step", work.copy->step}};
    return json;
  }

  CoordinatorOptions options_;
  population::Population population_;
  Journal journal_;
  std::vector<Event> events_;
  std::map<Connection, Session> sessions_;
  std::map<std::string, Connection> connections_;  // of each worker
  std::map<std::string, Time> lost_;               // workers without a connection, since when
  std::map<int, Time> retry_;
  std::map<int, Live> live_;
  std::vector<Reply> outbox_;
  Time began_, now_ = began_;
  double offset_seconds_ = 0;
  bool changed_ = true;  // there may be work for who waits
};

Coordinator::Coordinator(const CoordinatorOptions& options, Time now)
    : impl_(std::make_unique<Impl>(options, now)) {}
Coordinator::~Coordinator() = default;

void Coordinator::opened(Connection connection, Time now) {
  impl_->opened(connection, now);
}
void Coordinator::received(Connection connection, const Message& message, Time now) {
  impl_->received(connection, message, now);
}
void Coordinator::closed(Connection connection, Time now) {
  impl_->closed(connection, now);
}
FrameLimits Coordinator::limits(Connection connection) const {
  return impl_->limits(connection);
}
void Coordinator::tick(Time now) {
  impl_->tick(now);
}
std::vector<Coordinator::Reply> Coordinator::commit() {
  return impl_->commit();
}
void Coordinator::refuse(Connection connection, const std::string& reason) {
  impl_->refuse(connection, reason);
}
const population::Population& Coordinator::population() const {
  return impl_->population();
}
const std::vector<population::Event>& Coordinator::events() const {
  return impl_->events();
}
const std::map<int, Coordinator::Live>& Coordinator::live() const {
  return impl_->live();
}
size_t Coordinator::workers() const {
  return impl_->workers();
}
bool Coordinator::connected(const std::string& worker) const {
  return impl_->connected(worker);
}

}  // namespace hecate::pbt
