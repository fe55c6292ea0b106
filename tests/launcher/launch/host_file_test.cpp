#include "launcher/launch/host_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launch {
namespace {

using hecate::testing::message_of;
using ::testing::ElementsAre;

std::string error_in(const std::string& text) {
  return message_of<InvalidArgument>([&] { parse_hosts(text, "hosts.txt"); });
}

TEST(HostFileTest, ReadsNamesSlotsAndComments) {
  EXPECT_THAT(parse_hosts("# two nodes\n\nnode1 slots=8  # the fast one\n  10.0.0.2\nuser@n-3.lan "
                          "slots=2\r\n",
                          "hosts.txt"),
              ElementsAre(Host{"node1", 8}, Host{"10.0.0.2", 1}, Host{"user@n-3.lan", 2}));
}

TEST(HostFileTest, AHostThatComesAgainAddsItsSlots) {
  const auto hosts = parse_hosts("a slots=2\nb\na\n", "hosts.txt");
  EXPECT_THAT(hosts, ElementsAre(Host{"a", 3}, Host{"b", 1}));
  EXPECT_EQ(total_slots(hosts), 4);
}

TEST(HostFileTest, BadLinesAreNamedByNumber) {
  EXPECT_EQ(error_in("a\nb slots=0\n"),
            "hosts.txt:2: expected NAME [slots=N] with N at least 1, got 'slots=0'");
  EXPECT_EQ(error_in("a slots=two"),
            "hosts.txt:1: expected NAME [slots=N] with N at least 1, got 'slots=two'");
  EXPECT_EQ(error_in("# x\n\na 4\n"),
            "hosts.txt:3: expected NAME [slots=N] with N at least 1, got '4'");
  EXPECT_EQ(error_in("a slots=99999999999999999999"),
            "hosts.txt:1: expected NAME [slots=N] with N at least 1, got "
            "'slots=99999999999999999999'");
  EXPECT_EQ(error_in("a,b"), "hosts.txt:1: 'a,b' is no host name");
}

TEST(HostFileTest, NoHostAtAllIsAnError) {
  EXPECT_EQ(error_in("# later\n"), "hosts.txt: names no host; expected lines like 'node1 slots=8'");
}

TEST(HostFileTest, RanksFillHostsInOrder) {
  const std::vector<Host> hosts = {{"a", 2}, {"b", 4}};
  EXPECT_THAT(fill(hosts, 1), ElementsAre(1, 0));
  EXPECT_THAT(fill(hosts, 5), ElementsAre(2, 3));
  EXPECT_THAT(fill(hosts, 9), ElementsAre(4, 5));
}

}  // namespace
}  // namespace hecate::launch
