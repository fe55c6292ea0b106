#pragma once
#include "launcher/launch/job.h"

namespace hecate::launch {

struct RunnerOptions {
  /// After the first signal for the job to end by itself: more than train.deadline_seconds.
  double patience_seconds = 120;
};

/// Runs the job to its end and returns its exit code (128 + N if signal N ended the starter). The
/// job gets an empty standard input; its output comes line by line, each with `[RANK] ` before it,
/// or unchanged without Job::prefix.
///
/// The first SIGINT, SIGTERM or SIGHUP reaches every rank as SIGUSR1, which both starters pass on
/// and on which hecate finishes its step and saves; a second one, or patience at its end, stops the
/// job at once, and kills the starter if it does not come to an end. The starter is told to stop
/// when this process dies. Changes this process's signal mask while it runs; no other thread may
/// wait for children meanwhile.
/// @throws InvalidArgument if the starter is not in PATH; IoError if it cannot be run.
int run_job(const Job& job, const RunnerOptions& options = {});

}  // namespace hecate::launch
