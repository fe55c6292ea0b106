#include "collectives/measure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "collectives/cluster_config.h"
#include "runtime/base/error.h"
#include "tests/collectives/threads.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::collectives {
namespace {

using hecate::testing::ScratchDirectory;
using ::testing::ElementsAre;

CommunicatorOptions nodes_of_two() {
  CommunicatorOptions options;
  options.timeout = std::chrono::seconds(20);
  options.ranks_per_node = 2;
  return options;
}

void write(const std::string& path, const std::string& text) {
  std::ofstream(path) << text << "\n";
}

TEST(MeasureTopology, KeepsItsResultForTheSameNodes) {
  const ScratchDirectory scratch;
  const std::string cache = scratch / "topology.txt";
  run_ranks(4, nodes_of_two(), [&](const Communicator& world) {
    const Topology measured = measure_topology(world, {.cache_path = cache});
    EXPECT_THAT(measured.node_of, ElementsAre(0, 0, 1, 1));
    EXPECT_NO_THROW(check(measured));
    world.barrier().wait();
    // What is used again is the file.
    Topology other = measured;
    other.between.bytes_per_s = 123e6;
    if (world.rank() == 0) write(cache, to_text(other));
    const Topology again = measure_topology(world, {.cache_path = cache});
    EXPECT_EQ(to_text(again), to_text(other));
  });
}

TEST(MeasureTopology, MeasuresAnewWhatItCannotUse) {
  const ScratchDirectory scratch;
  const std::string cache = scratch / "topology.txt";
  const std::string elsewhere =
      to_text(Topology::uniform(4, 4, {.bytes_per_s = 5, .latency_s = 1}, {5, 1}));
  for (const std::string& text : {elsewhere, std::string("topology 1e9 nonsense"), std::string()}) {
    write(cache, text);
    run_ranks(4, nodes_of_two(), [&](const Communicator& world) {
      const Topology measured = measure_topology(world, {.cache_path = cache});
      EXPECT_GT(measured.inside.bytes_per_s, 1e6);
      EXPECT_THAT(measured.node_of, ElementsAre(0, 0, 1, 1));
    });
    std::ifstream file(cache);
    std::string line;
    std::getline(file, line);
    EXPECT_THAT(topology_from_text(line).node_of, ElementsAre(0, 0, 1, 1));
  }
}

TEST(ClusterTopology, TakesWhatIsGiven) {
  const ScratchDirectory scratch;
  const std::string cache = scratch / "topology.txt";
  ClusterConfig config;
  config.inside_gb_per_s = 300;
  config.inside_latency_us = 2;
  config.between_gb_per_s = 12.5;
  run_ranks(4, nodes_of_two(), [&](const Communicator& world) {
    // The latency between nodes is left to measure.
    const Topology partly = cluster_topology(world, config, cache);
    EXPECT_EQ(partly.inside.bytes_per_s, 300e9);
    EXPECT_EQ(partly.inside.latency_s, 2e-6);
    EXPECT_EQ(partly.between.bytes_per_s, 12.5e9);
    EXPECT_GT(partly.between.latency_s, 0);
  });
  EXPECT_TRUE(std::filesystem::exists(cache));
  std::filesystem::remove(cache);
  config.between_latency_us = 7;
  run_ranks(4, nodes_of_two(), [&](const Communicator& world) {
    EXPECT_EQ(cluster_topology(world, config, cache).between.latency_s, 7e-6);
  });
  EXPECT_FALSE(std::filesystem::exists(cache)) << "measured though everything was given";
}

TEST(ClusterTopology, NeedsOnlyTheLinksThatOccur) {
  const ScratchDirectory scratch;
  const std::string cache = scratch / "topology.txt";
  ClusterConfig config;
  config.inside_gb_per_s = 300;
  config.inside_latency_us = 2;
  CommunicatorOptions one_node;
  run_ranks(3, one_node, [&](const Communicator& world) {
    EXPECT_EQ(cluster_topology(world, config, cache).inside.bytes_per_s, 300e9);
  });
  run_ranks(1, one_node, [&](const Communicator& world) {
    EXPECT_EQ(cluster_topology(world, {}, cache).ranks(), 1);
  });
  EXPECT_FALSE(std::filesystem::exists(cache));
}

TEST(ClusterConfig, SetsTheWorldsOptions) {
  ClusterConfig config;
  EXPECT_EQ(communicator_options(config).timeout, std::chrono::seconds(300));
  config.timeout_seconds = 0.25;
  config.ranks_per_node = 8;
  config.check_calls = true;
  const CommunicatorOptions options = communicator_options(config, "somewhere");
  EXPECT_EQ(options.timeout, std::chrono::milliseconds(250));
  EXPECT_EQ(options.ranks_per_node, 8);
  EXPECT_TRUE(options.check_arguments);
  EXPECT_EQ(options.flight_directory, "somewhere");
}

}  // namespace
}  // namespace hecate::collectives
