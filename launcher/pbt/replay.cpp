#include "launcher/pbt/replay.h"

#include <spdlog/spdlog.h>

#include "launcher/checkpoint/directory.h"
#include "launcher/pbt/member_files.h"
#include "runtime/base/error.h"

namespace hecate::launcher {

TrainSummary run_replay(const RunConfig& config, const std::vector<ReplaySegment>& segments,
                        const RunDirectory& directory, const Job& job) {
  TrainSummary summary;
  int64_t reached = -1;
  for (size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    if (reached < 0) {
      const auto saved = checkpoint::list_checkpoints(directory.checkpoints());
      const int64_t mine = saved.empty() ? 0 : saved.front().step;
      reached = static_cast<int64_t>(job.largest(static_cast<double>(mine)));
    }
    if (!last && segments[i + 1].step <= reached) continue;
    const RunConfig now = job.agreed([&] { return with_settings(config, segments[i].settings); });
    if (job.first())
      for (const auto& [key, text] : segments[i].settings)
        spdlog::info("from step {}: {} = {}", segments[i].step, key, text);
    Trainer trainer(now, directory, reached > 0, job);
    summary = last ? trainer.run() : trainer.run(segments[i + 1].step);
    if (summary.interrupted) return summary;
    reached = summary.step;
  }
  return summary;
}

}  // namespace hecate::launcher
