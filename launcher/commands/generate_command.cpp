#include <iostream>
#include <memory>

#include "launcher/commands/commands.h"
#include "launcher/generate/generator.h"
#include "launcher/run/logging.h"

namespace hecate::launcher {
namespace {

struct Options {
  std::string model;
  std::string prompt;
  int64_t tokens = 200;
  double temperature = 1;
  int64_t top_k = 0;
  double top_p = 1;
  int64_t seed = 0;
};

int run(const Options& options) {
  start_logging({});
  HECATE_CHECK(options.tokens >= 0, "generate: --tokens ", options.tokens, ", at least 0");
  const LoadedModel model = open_model(options.model);
  const std::unique_ptr<data::Tokenizer> tokenizer = open_tokenizer(model);
  Generator generator(model);
  std::vector<int32_t> tokens = {tokenizer->document_end()};
  for (const int32_t token : tokenizer->encode(options.prompt)) tokens.push_back(token);
  std::cout << options.prompt << std::flush;
  std::string text;
  generator.generate(tokens, options.tokens, tokenizer->document_end(),
                     {.temperature = options.temperature,
                      .top_k = options.top_k,
                      .top_p = options.top_p,
                      .seed = static_cast<uint64_t>(options.seed)},
                     [&](int32_t token) {
                       text.clear();
                       tokenizer->decode(std::span(&token, 1), text);
                       std::cout << text << std::flush;
                     });
  std::cout << "\n";
  return 0;
}

}  // namespace

void add_generate_command(Command root) {
  Command command = root.command("generate", "Continue a prompt with a trained model");
  const auto options = std::make_shared<Options>();
  command.argument("CKPT", options->model, "checkpoint or run directory", true);
  command.option("--prompt", options->prompt, "TEXT", "text to continue");
  command.option("--tokens", options->tokens, "N", "tokens to add at most");
  command.option("--temperature", options->temperature, "T", "0: the likeliest token always");
  command.option("--top-k", options->top_k, "K", "only the K likeliest tokens; 0: all");
  command.option("--top-p", options->top_p, "P", "only the likeliest that together reach P");
  command.option("--seed", options->seed, "N", "of the draws");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
