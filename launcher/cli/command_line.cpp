#include "launcher/cli/command_line.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <iostream>
#include <map>

#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"

namespace hecate::launcher {
namespace {

// "data prepare: ", what an error about that command starts with; empty for the program itself.
std::string place(const CLI::App& app) {
  std::string name;
  for (const CLI::App* each = &app; each->get_parent() != nullptr; each = each->get_parent())
    name.insert(0, each->get_name() + (name.empty() ? "" : " "));
  return name.empty() ? "" : name + ": ";
}

// `--flags TEXT` as a number of type T, all of the text and nothing else.
template <class T>
void add_number(CLI::App& app, const std::string& flags, T& value, const std::string& value_name,
                const std::string& doc, const std::string& expected) {
  const auto parse = [&app, &value, flags, expected](const std::string& text) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    HECATE_CHECK(error == std::errc{} && end == text.data() + text.size(), place(app), flags,
                 " is '", text, "': expected ", expected);
  };
  app.add_option_function<std::string>(flags, parse, doc)
      ->type_name(value_name)
      ->default_str(concat(value));
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* each : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(each->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

// The command that was asked for: the last one of the chain that was parsed.
CLI::App& deepest(CLI::App& app) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  return chosen.empty() ? app : deepest(*chosen.back());
}

// What no option, argument or command of `app` or its parents took.
void check_leftovers(const CLI::App& app) {
  std::vector<std::string> left = app.remaining();
  std::erase(left, "--");  // the mark itself, which CLI11 hands back
  if (!left.empty()) {
    const std::string& word = left.front();
    const bool option = word.starts_with("-");
    const std::vector<std::string> names = option ? option_names(app) : command_names(app);
    const std::string nearest = nearest_name(word.substr(0, word.find('=')), names);
    const std::string hint = nearest.empty() ? "" : "; nearest: " + nearest;
    if (option) throw InvalidArgument(concat(place(app), "unknown option ", word, hint));
    if (names.empty())
      throw InvalidArgument(concat(place(app), "unexpected argument '", word, "'"));
    throw InvalidArgument(
        concat(place(app), "unknown command '", word, "'", hint, " (known: ", joined(names), ")"));
  }
  if (app.get_parent() != nullptr) check_leftovers(*app.get_parent());
}

}  // namespace

struct Command::Node {
  CLI::App* app = nullptr;
  std::map<const CLI::App*, std::function<int()>>* actions = nullptr;
  std::vector<std::unique_ptr<Node>>* nodes = nullptr;
};

struct CommandLine::State {
  CLI::App app;
  std::map<const CLI::App*, std::function<int()>> actions;
  std::vector<std::unique_ptr<Command::Node>> nodes;
  std::function<std::string()> version;
  bool version_asked = false;
};

Command Command::command(const std::string& name, const std::string& summary) {
  CLI::App* app = node_->app->add_subcommand(name, summary);
  app->allow_extras();
  node_->nodes->push_back(std::make_unique<Node>(Node{app, node_->actions, node_->nodes}));
  return Command(node_->nodes->back().get());
}

std::vector<std::string> Command::names() const {
  return command_names(*node_->app);
}

void Command::action(std::function<int()> run) {
  (*node_->actions)[node_->app] = std::move(run);
}

void Command::option(const std::string& flags, std::string& value, const std::string& value_name,
                     const std::string& doc) {
  node_->app->add_option(flags, value, doc)->type_name(value_name)->capture_default_str();
}

void Command::option(const std::string& flags, int64_t& value, const std::string& value_name,
                     const std::string& doc) {
  add_number(*node_->app, flags, value, value_name, doc, "an integer");
}

void Command::option(const std::string& flags, double& value, const std::string& value_name,
                     const std::string& doc) {
  add_number(*node_->app, flags, value, value_name, doc, "a number");
}

void Command::option(const std::string& flags, std::vector<std::string>& values,
                     const std::string& value_name, const std::string& doc) {
  node_->app->add_option(flags, values, doc)
      ->type_name(value_name)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

void Command::flag(const std::string& flags, bool& value, const std::string& doc) {
  node_->app->add_flag(flags, value, doc);
}

void Command::argument(const std::string& name, std::string& value, const std::string& doc,
                       bool required) {
  node_->app->add_option(name, value, doc)->type_name("")->required(required);
}

void Command::arguments(const std::string& name, std::vector<std::string>& values,
                        const std::string& doc) {
  node_->app->add_option(name, values, doc)->type_name("")->required();
}

CommandLine::CommandLine(const std::string& name, const std::string& summary,
                         std::function<std::string()> version)
    : state_(std::make_unique<State>()) {
  state_->app.name(name);
  state_->app.description(summary);
  state_->app.allow_extras();
  state_->app.add_flag("--version", state_->version_asked, "version, commit and what was built in");
  state_->version = std::move(version);
  state_->nodes.push_back(std::make_unique<Command::Node>(
      Command::Node{&state_->app, &state_->actions, &state_->nodes}));
}

CommandLine::~CommandLine() = default;

Command CommandLine::root() {
  return Command(state_->nodes.front().get());
}

int CommandLine::run(const std::vector<std::string>& arguments) {
  CLI::App& app = state_->app;
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return 0;
  } catch (const CLI::ParseError& error) {
    // A misspelt option is the likelier cause of a missing argument: it is named first.
    check_leftovers(deepest(app));
    throw InvalidArgument(concat(place(deepest(app)), error.what()));
  }
  CLI::App& chosen = deepest(app);
  check_leftovers(chosen);
  if (state_->version_asked) {
    std::cout << state_->version();
    return 0;
  }
  const auto action = state_->actions.find(&chosen);
  HECATE_CHECK(action != state_->actions.end(), place(chosen), "expected a command (one of ",
               joined(command_names(chosen)), "); try --help");
  return action->second();
}

}  // namespace hecate::launcher
