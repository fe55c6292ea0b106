#pragma once
#include <string>
#include <vector>

#include "launcher/suite/cell.h"

/// The evaluation of Hecate's paper (arXiv 2502.02581, figures 9 to 15 and the text's claims),
/// simulated, each value beside the paper's.
namespace hecate::launcher::suite {

struct PaperOptions {
  RunnerOptions runner;
  std::string trace;  ///< recorded loads; empty: a synthetic stand-in
  bool quick = false;
};

std::vector<Cell> paper_cells(const PaperOptions& options);

/// A figure of the paper beside ours.
struct Claim {
  std::string name;
  double low = 0, high = 0;  ///< the paper's; equal for one number
  double ours = 0;
  bool known = false;  ///< the cells that it needs are there
  std::string why;     ///< where ours lies more than 20 % outside: why
  bool agrees() const { return ours >= low / 1.2 && ours <= high * 1.2; }
};
std::vector<Claim> claims(const std::vector<CellResult>& results);

/// Runs the cells, writes results and report.html. @return a summary for people.
std::string run_paper(const PaperOptions& options);

}  // namespace hecate::launcher::suite
