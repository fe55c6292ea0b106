#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

/// The command line: commands, their options, help and errors. A thin layer over CLI11, so that
/// each command is a small file that compiles fast.
namespace hecate::launcher {

class CommandLine;

/// One command; a handle that may be copied. Variables given to options must live until run() ends:
/// keep them in an object that the action owns.
class Command {
 public:
  /// A command below this one: `hecate data prepare`.
  Command command(const std::string& name, const std::string& summary);

  /// Names of the commands below this one, in the order of their making.
  std::vector<std::string> names() const;

  /// What runs when the command is given; returns the exit code. A command without an action needs
  /// one of its sub-commands.
  void action(std::function<int()> run);

  /// `--name VALUE`; the variable's value is the default. @param value_name for the help.
  void option(const std::string& flags, std::string& value, const std::string& value_name,
              const std::string& doc);
  void option(const std::string& flags, int64_t& value, const std::string& value_name,
              const std::string& doc);
  void option(const std::string& flags, double& value, const std::string& value_name,
              const std::string& doc);
  /// May be given several times, one value each.
  void option(const std::string& flags, std::vector<std::string>& values,
              const std::string& value_name, const std::string& doc);
  void flag(const std::string& flags, bool& value, const std::string& doc);

  /// An argument without a name, in the order of these calls.
  void argument(const std::string& name, std::string& value, const std::string& doc, bool required);
  /// The rest of the arguments; at least one. Behind `--` they may look like options.
  void arguments(const std::string& name, std::vector<std::string>& values, const std::string& doc);

 private:
  friend class CommandLine;
  struct Node;
  explicit Command(Node* node) : node_(node) {}

  Node* node_;
};

/// The program's commands. Not copied: commands point into it.
class CommandLine {
 public:
  /// @param version printed by --version.
  CommandLine(const std::string& name, const std::string& summary,
              std::function<std::string()> version);
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  Command root();

  /// Parses and runs; --help and --version print to standard output and give 0.
  /// @param arguments without the program's name.
  /// @throws InvalidArgument naming the command, what is wrong, and for names the nearest; whatever
  ///   the action throws.
  int run(const std::vector<std::string>& arguments);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hecate::launcher
