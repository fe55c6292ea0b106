#include "launcher/launch/slurm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "runtime/base/error.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launch {
namespace {

using hecate::testing::message_of;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

Environment environment(const std::map<std::string, std::string>& variables) {
  return [variables](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
}

TEST(SlurmTest, NoJobWithoutAnId) {
  EXPECT_FALSE(slurm_job(environment({{"SLURM_NTASKS", "4"}})));
}

TEST(SlurmTest, TasksAndNodesComeFromTheEnvironment) {
  const auto job = slurm_job(environment({{"SLURM_JOB_ID", "71"},
                                          {"SLURM_NTASKS", "7"},
                                          {"SLURM_JOB_NUM_NODES", "4"},
                                          {"SLURM_TASKS_PER_NODE", "2(x3),1"}}));
  ASSERT_TRUE(job);
  EXPECT_EQ(job->id, "71");
  EXPECT_EQ(job->tasks, 7);
  EXPECT_EQ(job->nodes, 4);
  EXPECT_THAT(job->tasks_per_node, ElementsAre(2, 2, 2, 1));
}

TEST(SlurmTest, WithoutTasksTheCoresThatSlurmCountsAreNoSlots) {
  const auto job = slurm_job(environment(
      {{"SLURM_JOB_ID", "71"}, {"SLURM_JOB_NUM_NODES", "2"}, {"SLURM_TASKS_PER_NODE", "64(x2)"}}));
  ASSERT_TRUE(job);
  EXPECT_EQ(job->tasks, 0);
  EXPECT_EQ(job->nodes, 2);
  EXPECT_THAT(job->tasks_per_node, IsEmpty());
}

TEST(SlurmTest, WhatCannotBeReadIsNamed) {
  EXPECT_EQ(message_of<InvalidArgument>([] {
              slurm_job(environment({{"SLURM_JOB_ID", "1"}, {"SLURM_NTASKS", "many"}}));
            }),
            "SLURM_NTASKS = 'many': expected a number of at least 1");
  for (const char* bad : {"2(x", "2(x)", "2x3", "-1", "0", ",", "2(x3)4", "2(x9999999999)"})
    EXPECT_EQ(message_of<InvalidArgument>([&] { parse_tasks_per_node(bad, "V"); }),
              std::string("V = '") + bad + "': expected groups like 2(x3),1");
}

}  // namespace
}  // namespace hecate::launch
