#include "launcher/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/runtime/io/scratch.h"

namespace hecate::launcher {
namespace {

using hecate::testing::message_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class CommandLineTest : public ::testing::Test {
 protected:
  CommandLineTest() {
    Command paint = line_.root().command("paint", "Paint a thing");
    paint.argument("thing", thing_, "what", true);
    paint.option("--color", color_, "NAME", "which");
    paint.option("--coats", coats_, "N", "how many");
    paint.option("--share", share_, "X", "how much");
    paint.option("--set", set_, "KEY=VALUE", "more");
    paint.flag("--fast", fast_, "hurry");
    paint.action([this] { return ++painted_, 7; });
    Command file = line_.root().command("file", "Work on files").command("pack", "Pack them");
    file.arguments("files", files_, "which");
    file.action([] { return 0; });
  }

  int run(const std::vector<std::string>& arguments) {
    ::testing::internal::CaptureStdout();
    const int code = line_.run(arguments);
    output_ = ::testing::internal::GetCapturedStdout();
    return code;
  }
  std::string error_of(const std::vector<std::string>& arguments) {
    std::string message = message_of<InvalidArgument>([&] { line_.run(arguments); });
    EXPECT_EQ(painted_, 0) << "ran in spite of: " << message;
    return message;
  }

  CommandLine line_{"tool", "Does things", [] { return std::string("tool 1.2\n"); }};
  std::string thing_, color_ = "red", output_;
  int64_t coats_ = 1;
  double share_ = 0.5;
  bool fast_ = false;
  std::vector<std::string> set_, files_;
  int painted_ = 0;
};

TEST_F(CommandLineTest, RunsTheCommandAndReturnsItsCode) {
  EXPECT_EQ(run({"paint", "--coats", "3", "wall", "--share=1e-3", "--fast"}), 7);
  EXPECT_EQ(painted_, 1);
  EXPECT_EQ(thing_, "wall");
  EXPECT_EQ(color_, "red");
  EXPECT_EQ(coats_, 3);
  EXPECT_EQ(share_, 1e-3);
  EXPECT_TRUE(fast_);
}

TEST_F(CommandLineTest, RepeatedOptionTakesOneValueEachTime) {
  run({"paint", "--set", "a=1", "wall", "--set", "b=[1, 2]"});
  EXPECT_EQ(thing_, "wall");
  EXPECT_THAT(set_, ElementsAre("a=1", "b=[1, 2]"));
}

TEST_F(CommandLineTest, NestedCommandTakesManyArguments) {
  EXPECT_EQ(run({"file", "pack", "a", "b", "c"}), 0);
  EXPECT_THAT(files_, ElementsAre("a", "b", "c"));
}

TEST_F(CommandLineTest, BehindTheMarkAnythingIsAnArgument) {
  run({"file", "pack", "--", "paint", "-n", "--set", "a=b", "--help"});
  EXPECT_THAT(files_, ElementsAre("paint", "-n", "--set", "a=b", "--help"));
}

TEST_F(CommandLineTest, NamesOfCommandsAreKnown) {
  EXPECT_THAT(line_.root().names(), ElementsAre("paint", "file"));
}

TEST_F(CommandLineTest, VersionAndHelpPrintAndSucceed) {
  EXPECT_EQ(run({"--version"}), 0);
  EXPECT_EQ(output_, "tool 1.2\n");
  EXPECT_EQ(run({"--help"}), 0);
  EXPECT_THAT(output_, HasSubstr("Paint a thing"));
  EXPECT_EQ(run({"paint", "--help"}), 0);
  EXPECT_THAT(output_, HasSubstr("tool paint [OPTIONS] thing"));
  EXPECT_THAT(output_, HasSubstr("--coats N"));
  EXPECT_EQ(run({"file", "pack", "--help"}), 0);
  EXPECT_THAT(output_, HasSubstr("tool file pack [OPTIONS] files"));
}

TEST_F(CommandLineTest, UnknownCommandNamesTheNearestAndAll) {
  EXPECT_EQ(error_of({"piant", "wall"}),
            "unknown command 'piant'; nearest: paint (known: paint, file)");
  EXPECT_EQ(error_of({"file", "pakc"}),
            "file: unknown command 'pakc'; nearest: pack (known: pack)");
  EXPECT_EQ(error_of({"zzzzzzzz"}), "unknown command 'zzzzzzzz' (known: paint, file)");
}

TEST_F(CommandLineTest, MissingCommandNamesThem) {
  EXPECT_EQ(error_of({}), "expected a command (one of paint, file); try --help");
  EXPECT_EQ(error_of({"file"}), "file: expected a command (one of pack); try --help");
}

TEST_F(CommandLineTest, UnknownOptionNamesTheNearest) {
  EXPECT_EQ(error_of({"paint", "wall", "--colour", "blue"}),
            "paint: unknown option --colour; nearest: --color");
  EXPECT_EQ(error_of({"paint", "--coast=2"}), "paint: unknown option --coast=2; nearest: --coats");
  EXPECT_EQ(error_of({"--versoin"}), "unknown option --versoin; nearest: --version");
}

TEST_F(CommandLineTest, WrongValueSaysWhatIsExpected) {
  EXPECT_EQ(error_of({"paint", "wall", "--coats", "many"}),
            "paint: --coats is 'many': expected an integer");
  EXPECT_EQ(error_of({"paint", "wall", "--coats", "2.5"}),
            "paint: --coats is '2.5': expected an integer");
  EXPECT_EQ(error_of({"paint", "wall", "--share", "0.5x"}),
            "paint: --share is '0.5x': expected a number");
}

TEST_F(CommandLineTest, MissingAndSurplusArgumentsAreNamed) {
  EXPECT_THAT(error_of({"paint"}), StartsWith("paint: thing is required"));
  EXPECT_EQ(error_of({"paint", "wall", "door"}), "paint: unexpected argument 'door'");
  EXPECT_THAT(error_of({"paint", "wall", "--coats"}), StartsWith("paint: --coats: "));
}

}  // namespace
}  // namespace hecate::launcher
