#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "collectives/bench/bench.h"
#include "collectives/bench/plot.h"
#include "runtime/base/error.h"
#include "tests/collectives/threads.h"

namespace hecate::collectives::bench {
namespace {

using testing::HasSubstr;

// Everything, small, on four ranks of two nodes.
std::vector<Record> run_small(const Options& options, std::ostream* table, std::ostream* jsonl) {
  CommunicatorOptions world;
  world.timeout = std::chrono::seconds(60);
  world.ranks_per_node = 2;
  Report kept(table, jsonl);
  run_ranks(4, world, [&](const Communicator& communicator) {
    Report nobody(nullptr, nullptr);
    run(communicator, {}, options, communicator.rank() == 0 ? kept : nobody);
  });
  return kept.records();
}

Options small_options() {
  Options options;
  options.suites = {"dense", "sparse"};
  options.sizes = {4 << 10, 64 << 10};
  options.expert_bytes = {16 << 10};
  options.repetitions = 2;
  return options;
}

TEST(CollectivesBench, ReportsEveryCaseOnce) {
  std::ostringstream table, jsonl;
  const auto records = run_small(small_options(), &table, &jsonl);
  int dense = 0, chosen = 0, sparse = 0;
  for (const Record& record : records) {
    if (record.suite() == "dense") {
      ++dense;
      EXPECT_GT(record.number("bus_gb_per_s"), 0);
    }
    if (record.suite() == "sparse") {
      ++sparse;
      chosen += static_cast<int>(record.number("auto"));
      EXPECT_GT(record.number("bound_over_measured"), 0);
      EXPECT_GE(record.number("over_best"), 1);
    }
  }
  EXPECT_EQ(dense, 5 * 2);
  EXPECT_EQ(sparse, 2 * 3 * 3);  // spAG and spRS, three placements, three algorithms
  EXPECT_EQ(chosen, 2 * 3);      // auto is one of the algorithms
  EXPECT_THAT(table.str(), HasSubstr("hot_on_one_node"));
  std::istringstream lines(jsonl.str());
  size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count)
    EXPECT_TRUE(line.starts_with(R"({"suite": ")") && line.ends_with('}')) << line;
  EXPECT_EQ(count, records.size());
}

TEST(CollectivesBench, BusBandwidthIsAlgorithmBandwidthTimesTheShareOfTheLink) {
  Options options = small_options();
  options.suites = {"dense"};
  for (const Record& record : run_small(options, nullptr, nullptr)) {
    if (record.suite() != "dense") continue;
    const double share = record.number("bus_gb_per_s") / record.number("algorithm_gb_per_s");
    const double expected = record.name() == "broadcast"    ? 1
                            : record.name() == "all_reduce" ? 2 * 3.0 / 4
                                                            : 3.0 / 4;
    EXPECT_NEAR(share, expected, 1e-6) << record.name();
  }
}

TEST(CollectivesBench, DrawsWhatItMeasured) {
  const std::string picture = plot_svg(run_small(small_options(), nullptr, nullptr));
  EXPECT_THAT(picture, HasSubstr("<polyline"));
  EXPECT_THAT(picture, HasSubstr("spRS hot_spread 16K"));
  EXPECT_TRUE(picture.ends_with("</svg>\n"));
}

TEST(CollectivesBench, RefusesUnknownSuites) {
  Options options;
  options.suites = {"dens"};
  EXPECT_THROW(run_small(options, nullptr, nullptr), InvalidArgument);
}

}  // namespace
}  // namespace hecate::collectives::bench
