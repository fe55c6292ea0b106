#include "launcher/pbt/worker.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "launcher/checkpoint/directory.h"
#include "launcher/pbt/member_files.h"
#include "launcher/pbt/score.h"
#include "launcher/pbt/transfer.h"
#include "launcher/train/setup.h"
#include "launcher/train/trainer.h"
#include "launcher/version.h"
#include "runtime/base/error.h"
#include "runtime/io/file.h"
#include "scheduler/pbt/client.h"

namespace hecate::launcher {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr double kLockSeconds = 20;

std::string default_name() {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  return concat(host.data(), '-', ::getpid());
}

/// What a member does next.
struct Work {
  int member = 0;
  int64_t lease = 0, step = 0, until = 0;
  std::string directory, metric, unit;
  population::Settings settings;
  std::optional<std::pair<std::string, int64_t>> copy;  // directory and step of the donor
};

Work work_of(const Json& json) {
  Work work;
  json.at("member").get_to(work.member);
  json.at("lease").get_to(work.lease);
  json.at("step").get_to(work.step);
  json.at("until").get_to(work.until);
  json.at("directory").get_to(work.directory);
  json.at("metric").get_to(work.metric);
  json.at("unit").get_to(work.unit);
  for (const Json& pair : json.at("settings"))
    work.settings.emplace_back(pair.at(0).get<std::string>(), pair.at(1).get<std::string>());
  if (json.contains("copy"))
    work.copy.emplace(json["copy"].at("directory").get<std::string>(),
                      json["copy"].at("step").get<int64_t>());
  return work;
}

class Worker {
 public:
  Worker(const WorkerOptions& options, const Job& job) : job_(job) {
    std::string welcome;
    job_.agree([&] {
      if (!job_.first()) return;
      const char* token = std::getenv("HECATE_PBT_TOKEN");
      client_ = std::make_unique<pbt::Client>(
          pbt::ClientOptions{.controller = pbt::parse_address(options.controller),
                             .version = version_number(),
                             .token = token == nullptr ? "" : token,
                             .worker = options.name.empty() ? default_name() : options.name,
                             .give_up_seconds = kGiveUpSeconds});
      welcome = client_->welcome();
    });
    welcome = job_.share(welcome);
    job_.agree([&] { configure(options, Json::parse(welcome)); });
  }

  int run() {
    while (true) {
      const Json json = Json::parse(ask({{"type", "ready"}}));
      const auto type = json.at("type").get<std::string>();
      if (type == "finish") return 0;
      if (type != "assign") continue;
      const Work work = work_of(json);
      try {
        if (!train(work)) return 0;
      } catch (const CommError&) {
        throw;
      } catch (const std::exception& error) {
        give_back(work, error.what());
      }
    }
  }

 private:
  static constexpr double kGiveUpSeconds = 600;

  void configure(const WorkerOptions& options, const Json& welcome) {
    config::Settings settings;
    settings.add_text(welcome.at("configuration").get<std::string>(), "the controller");
    const RunConfig theirs = load_run_config(settings);
    if (!options.file.empty()) settings.add_file(options.file);
    for (const std::string& each : options.overrides) settings.add_override(each);
    config_ = with_vocabulary(load_run_config(settings));
    HECATE_CHECK(config::to_toml(config_.model) == config::to_toml(theirs.model) &&
                     config_.seed == theirs.seed && config_.train.steps == theirs.train.steps,
                 "this worker's configuration has another [model], seed or train.steps than the "
                 "controller's: members could not be copied");
    root_ = welcome.at("directory").get<std::string>();
    const fs::path probe = root_ / welcome.at("probe_name").get<std::string>();
    std::error_code error;
    shared_ = options.scratch.empty() && fs::exists(probe, error) &&
              io::read_file(probe) == welcome.at("probe").get<std::string>();
    if (shared_) return;
    root_ =
        options.scratch.empty() ? fs::path("runs") / concat("pbt-", ::getpid()) : options.scratch;
    if (job_.first())
      spdlog::info(
          "the population's directory is not visible here, or not to be used: weights go "
          "through the connection, members are kept in {}",
          root_.string());
  }

  std::string ask(const Json& json) {
    std::string text;
    job_.agree([&] {
      if (job_.first()) text = client_->request(json.dump()).text;
    });
    return job_.share(text);
  }

  bool stale(const Json& json) { return Json::parse(ask(json)).at("type") == "stale"; }

  Json about(const Work& work, const char* type) const {
    return {{"type", type}, {"member", work.member}, {"lease", work.lease}};
  }

  // What another worker may have done meanwhile, or other values, end a trainer that was kept.
  bool keeps(const Work& work) const {
    if (!trainer_ || work.copy || kept_.directory != work.directory ||
        kept_.settings != work.settings)
      return false;
    const auto saved = checkpoint::list_checkpoints(root_ / work.directory / "checkpoints");
    return !saved.empty() && saved.front().step == trainer_->progress().step;
  }

  /// @return whether to go on with other work.
  bool train(const Work& work) {
    std::optional<MemberLock> lock;
    job_.agree([&] {
      if (job_.first())
        lock.emplace(root_ / work.directory.substr(0, work.directory.rfind('.')), kLockSeconds);
    });
    if (!job_.any(job_.first() && keeps(work))) {
      trainer_.reset();
      if (!prepare(work)) return true;
      const RunConfig config = job_.agreed([&] { return with_settings(config_, work.settings); });
      trainer_ =
          std::make_unique<Trainer>(config, RunDirectory::at(root_ / work.directory), true, job_);
      kept_ = work;
    }
    job_.agree([&] {
      HECATE_CHECK(trainer_->progress().step >= work.step, work.directory,
                   ": the checkpoint of step ", work.step, " is gone; found step ",
                   trainer_->progress().step);
    });
    if (client_)
      trainer_->watch([this, member = work.member](int64_t step, double loss) {
        client_->progress(member, step, loss);
      });
    const TrainSummary summary = trainer_->run(last_step(work));
    if (summary.interrupted) {
      ask(about(work, "released"));
      return false;
    }
    report(work);
    return true;
  }

  // The member's directory as it must be before training; false: somebody else has the member.
  bool prepare(const Work& work) {
    const fs::path directory = root_ / work.directory;
    const RunConfig config = job_.agreed([&] { return with_settings(config_, work.settings); });
    if (work.copy && !become_copy(work, config)) return false;
    job_.agree([&] {
      if (!job_.first()) return;
      begin_member(directory, config);
      if (!shared_)
        download_checkpoint(asking(), {work.member, work.lease},
                            RunDirectory::at(directory).checkpoints());
    });
    return true;
  }

  bool become_copy(const Work& work, const RunConfig& config) {
    const auto& [donor, step] = *work.copy;
    std::string problem;
    if (job_.first()) try {
        if (shared_)
          copy_member(root_ / donor, step, root_ / work.directory, config);
        else if (const Json said = Json::parse(client_->request(about(work, "copy").dump()).text);
                 said.at("type") != "noted")
          problem = said.value("reason", std::string("stale"));
      } catch (const IoError& error) {
        problem = error.what();
      }
    problem = job_.share(problem);
    if (!problem.empty()) {
      if (job_.first()) spdlog::warn("member {} was not copied: {}", work.member, problem);
      Json json = about(work, "copy_failed");
      json["reason"] = problem;
      ask(json);
      return false;
    }
    if (stale(about(work, "copied"))) return false;
    if (job_.first()) drop_before(work);
    return true;
  }

  // What a member was before it became a copy keeps its logs alone.
  void drop_before(const Work& work) const {
    const size_t dot = work.directory.rfind('.');
    const int incarnation = std::stoi(work.directory.substr(dot + 1));
    const std::string before = concat(work.directory.substr(0, dot + 1), incarnation - 1);
    std::error_code ignored;
    fs::remove_all(root_ / before / "checkpoints", ignored);
  }

  int64_t last_step(const Work& work) const {
    if (work.unit == "steps") return work.until;
    const Progress& now = trainer_->progress();
    const scheduler::RunLength run = trained_.run_length();
    const int64_t wanted = work.until - now.tokens + run.tokens_at(now.step);
    int64_t step = now.step;
    while (step < run.steps() && run.tokens_at(step) < wanted) ++step;
    return step;
  }

  void report(const Work& work) {
    const Progress& now = trainer_->progress();
    Json json = about(work, "report");
    job_.agree([&] {
      if (!job_.first()) return;
      const RunDirectory directory = RunDirectory::at(root_ / work.directory);
      const double score = newest_metric(directory.steps(), work.metric);
      json["step"] = now.step;
      json["tokens"] = now.tokens;
      json["score"] = std::isfinite(score) ? Json(score) : Json(nullptr);
      if (!shared_)
        upload_checkpoint(asking(), {work.member, work.lease}, directory.checkpoints(), now.step);
    });
    if (stale(json) && job_.first())
      spdlog::warn("member {} went to another worker meanwhile: what was done here is lost",
                   work.member);
  }

  void give_back(const Work& work, const std::string& reason) {
    Json json = about(work, "failed");
    json["reason"] = reason;
    json["diverged"] = trainer_ && trainer_->diverged();
    trainer_.reset();
    if (job_.first()) spdlog::error("member {}: {}", work.member, reason);
    ask(json);
  }

  Ask asking() {
    return [this](const std::string& text, const std::string& blob) {
      return client_->request(text, blob);
    };
  }

  Job job_;
  std::unique_ptr<pbt::Client> client_;  // of the first rank
  RunConfig config_;
  fs::path root_;
  bool shared_ = true;
  std::unique_ptr<Trainer> trainer_;
  RunConfig trained_;  // what the trainer was made from
  Work kept_;
};

}  // namespace

int run_worker(const WorkerOptions& options, const Job& job) {
  return Worker(options, job).run();
}

}  // namespace hecate::launcher
