#include "launcher/launch/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launch {
namespace {

using hecate::testing::message_of;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Machine machine() {
  Machine machine;
  machine.hecate = "/opt/hecate";
  machine.cores = 16;
  return machine;
}

Request request(std::optional<int64_t> ranks) {
  Request request;
  request.ranks = ranks;
  request.program = {"train", "a.toml"};
  return request;
}

Request two_hosts(std::optional<int64_t> ranks) {
  Request result = request(ranks);
  result.hosts = {{"n0", 4}, {"n1", 4}};
  result.hosts_source = "hosts.txt";
  return result;
}

Machine in_slurm(int64_t tasks, const std::vector<int64_t>& per_node) {
  Machine result = machine();
  result.slurm = SlurmJob{.id = "71",
                          .tasks = tasks,
                          .nodes = static_cast<int64_t>(per_node.size()),
                          .tasks_per_node = per_node};
  if (tasks == 0) result.slurm->tasks_per_node.clear();
  return result;
}

std::string line(const Request& request, const Machine& on = machine()) {
  return shell_line(compose(request, on).argv);
}

std::string error_of(const Request& request, const Machine& on = machine()) {
  return message_of<InvalidArgument>([&] { compose(request, on); });
}

TEST(MpirunLineTest, OnThisMachine) {
  EXPECT_EQ(line(request(2)),
            "mpirun --tag-output -n 2 --host localhost:16 --map-by slot --bind-to numa "
            "/opt/hecate train a.toml");
}

TEST(MpirunLineTest, OverHostsAllSlotsAreTheDefault) {
  EXPECT_EQ(line(two_hosts({})),
            "mpirun --tag-output -n 8 --host n0:4,n1:4 --map-by slot --bind-to numa "
            "/opt/hecate train a.toml");
}

TEST(MpirunLineTest, ARankAloneOnItsHostHasAllOfIt) {
  Request one_each = request({});
  one_each.hosts = {{"n0", 1}, {"n1", 1}};
  EXPECT_THAT(line(one_each), HasSubstr(" --bind-to none "));
  EXPECT_THAT(line(request(1)), HasSubstr(" --bind-to none "));
}

TEST(MpirunLineTest, CrowdedRanksYieldAndAreNotBound) {
  Request crowded = request(20);
  crowded.oversubscribe = true;
  EXPECT_EQ(line(crowded),
            "mpirun --tag-output -n 20 --host localhost:16 --map-by slot --bind-to none "
            "--oversubscribe --mca mpi_yield_when_idle 1 /opt/hecate train a.toml");
  crowded.ranks = 2;  // allowed, not needed
  EXPECT_THAT(line(crowded), Not(HasSubstr("yield")));
}

TEST(MpirunLineTest, CoresPerRankAreBoundAndCountedAsSlots) {
  Request four_each = request(4);
  four_each.cores_per_rank = 4;
  EXPECT_THAT(line(four_each), HasSubstr(" --host localhost:4 --map-by slot:PE=4 --bind-to core "));
  four_each.ranks = 5;
  EXPECT_THAT(error_of(four_each), HasSubstr("5 ranks, but this machine has 4 slots"));
  four_each.bind = "numa";
  EXPECT_EQ(error_of(four_each), "launch: --cores-per-rank binds to cores; drop --bind numa");
}

TEST(MpirunLineTest, RootInterfaceRecoveryAndFurtherOptions) {
  Machine as_root = machine();
  as_root.root = true;
  Request all = two_hosts(2);
  all.interface = "10.0.0.0/24";
  all.enable_recovery = true;
  all.prefix = false;
  all.extra = " --mca  plm_rsh_agent /tmp/agent ";
  EXPECT_EQ(line(all, as_root),
            "mpirun --allow-run-as-root -n 2 --host n0:4,n1:4 --map-by slot --bind-to numa "
            "--mca btl_tcp_if_include 10.0.0.0/24 --mca oob_tcp_if_include 10.0.0.0/24 "
            "--enable-recovery --mca plm_rsh_agent /tmp/agent /opt/hecate train a.toml");
  EXPECT_THAT(line(request(2)), Not(HasSubstr("recovery")));
}

TEST(MpirunLineTest, VariablesThatMatterGoAlong) {
  Machine with = machine();
  with.variables = {"HECATE_ISA", "HOME", "LD_LIBRARY_PATH", "NCCL_DEBUG", "OMPI_MCA_btl"};
  Request exporting = request(2);
  exporting.exports = {"A=b c", "D"};
  EXPECT_THAT(line(exporting, with),
              HasSubstr(" -x HECATE_ISA -x LD_LIBRARY_PATH -x NCCL_DEBUG -x 'A=b c' -x D /opt"));
}

TEST(MpirunLineTest, TooFewSlotsOfferOversubscribe) {
  EXPECT_EQ(error_of(two_hosts(9)),
            "launch: 9 ranks, but hosts.txt has 8 slots on 2 hosts; ask for fewer, or let ranks "
            "share with --oversubscribe");
  EXPECT_THAT(error_of(request(17)), HasSubstr("this machine has 16 slots on 1 host;"));
}

TEST(MpirunLineTest, RanksAreNeededAndPositive) {
  EXPECT_EQ(error_of(request({})), "launch: -n N is required: the number of ranks");
  EXPECT_EQ(error_of(request(0)), "launch: -n 0: expected at least 1 rank");
  EXPECT_EQ(error_of(two_hosts(-2)), "launch: -n -2: expected at least 1 rank");
}

TEST(MpirunLineTest, UnknownBindingListsTheKnown) {
  Request odd = request(2);
  odd.bind = "socket";
  EXPECT_EQ(error_of(odd), "launch: --bind 'socket': expected auto, none, numa or core");
}

TEST(SrunLineTest, InsideAJobItsTasksAreTheRanks) {
  EXPECT_EQ(line(request({}), in_slurm(8, {4, 4})),
            "srun --ntasks=8 --kill-on-bad-exit=1 --mpi=pmix --distribution=block --label "
            "--cpu-bind=ldoms /opt/hecate train a.toml");
  EXPECT_THAT(line(request({}), in_slurm(2, {1, 1})), HasSubstr(" --cpu-bind=none "));
  EXPECT_EQ(compose(request({}), in_slurm(8, {4, 4})).starter, Starter::srun);
}

TEST(SrunLineTest, HostsInAJobMeanMpirun) {
  EXPECT_THAT(line(two_hosts({}), in_slurm(8, {4, 4})), StartsWith("mpirun "));
  Request both = two_hosts({});
  both.slurm = true;
  EXPECT_EQ(error_of(both), "launch: --slurm takes its hosts from Slurm; drop --hosts hosts.txt");
}

TEST(SrunLineTest, OutsideAJobSrunAllocates) {
  Request asked = request(4);
  asked.slurm = true;
  EXPECT_THAT(line(asked), StartsWith("srun --ntasks=4 "));
  asked.ranks.reset();
  EXPECT_EQ(error_of(asked), "launch: -n N is required: the number of ranks");
  EXPECT_EQ(error_of(request({}), in_slurm(0, {0, 0})),
            "launch: -n N is required: the number of ranks");
}

TEST(SrunLineTest, CrowdedRanksShareAndYield) {
  EXPECT_EQ(error_of(request(9), in_slurm(8, {4, 4})),
            "launch: 9 ranks, but Slurm job 71 has 8 slots on 2 hosts; ask for fewer, or let ranks "
            "share with --oversubscribe");
  Request crowded = request(9);
  crowded.oversubscribe = true;
  crowded.interface = "ib0";
  crowded.exports = {"A=b c", "HOME"};
  EXPECT_EQ(line(crowded, in_slurm(8, {4, 4})),
            "env 'A=b c' OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_tcp_if_include=ib0 srun "
            "--ntasks=9 --kill-on-bad-exit=1 --mpi=pmix --distribution=block --label "
            "--cpu-bind=none --overcommit /opt/hecate train a.toml");
}

TEST(SrunLineTest, CoresPerRank) {
  Request four_each = request({});
  four_each.cores_per_rank = 4;
  EXPECT_THAT(line(four_each, in_slurm(8, {4, 4})),
              HasSubstr(" --cpus-per-task=4 --cpu-bind=cores "));
  four_each.enable_recovery = true;
  EXPECT_THAT(error_of(four_each, in_slurm(8, {4, 4})), HasSubstr("--enable-recovery is mpirun's"));
}

TEST(ShellLineTest, WordsComeBackFromAShell) {
  EXPECT_EQ(shell_line({"a", "", "b c", "it's", "x=1", "$HOME", "a\nb"}),
            "a '' 'b c' 'it'\\''s' x=1 '$HOME' 'a\nb'");
}

}  // namespace
}  // namespace hecate::launch
