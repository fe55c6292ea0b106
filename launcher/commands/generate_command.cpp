#include <charconv>
#include <iostream>
#include <memory>
#include <span>
#include <sstream>

#include "launcher/commands/commands.h"
#include "launcher/generate/generator.h"
#include "launcher/run/logging.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

struct Options {
  std::string model;
  std::string prompt;
  bool ids = false;
  int64_t tokens = 200;
  double temperature = 1;
  int64_t top_k = 0;
  double top_p = 1;
  int64_t seed = 0;
};

std::vector<int32_t> parse_ids(const std::string& text, int64_t vocabulary) {
  std::vector<int32_t> ids;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    int32_t id = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    HECATE_CHECK(
        error == std::errc{} && end == word.data() + word.size() && id >= 0 && id < vocabulary,
        "generate: --prompt holds '", word, "', expected token ids below ", vocabulary, " (--ids)");
    ids.push_back(id);
  }
  HECATE_CHECK(!ids.empty(), "generate: --ids needs --prompt with at least one token id");
  return ids;
}

// Ids in, ids out: for models whose tokenizer is elsewhere.
void continue_ids(const Options& options, const SamplingOptions& sampling,
                  const LoadedModel& model) {
  std::vector<int32_t> tokens = parse_ids(options.prompt, model.config.model.vocabulary);
  Generator generator(model);
  for (size_t i = 0; i < tokens.size(); ++i) std::cout << (i > 0 ? " " : "") << tokens[i];
  std::cout << std::flush;
  generator.generate(tokens, options.tokens, static_cast<int32_t>(model.config.data.document_end),
                     sampling, [](int32_t token) { std::cout << " " << token << std::flush; });
}

void continue_text(const Options& options, const SamplingOptions& sampling,
                   const LoadedModel& model) {
  const std::unique_ptr<data::Tokenizer> tokenizer = open_tokenizer(model);
  Generator generator(model);
  std::vector<int32_t> tokens = {tokenizer->document_end()};
  tokenizer->encode(options.prompt, tokens);
  std::cout << options.prompt << std::flush;
  std::string text;
  generator.generate(tokens, options.tokens, tokenizer->document_end(), sampling,
                     [&](int32_t token) {
                       text.clear();
                       tokenizer->decode(std::span(&token, 1), text);
                       std::cout << text << std::flush;
                     });
}

int run(const Options& options) {
  start_logging({});
  HECATE_CHECK(options.tokens >= 0, "generate: --tokens ", options.tokens, ", at least 0");
  const SamplingOptions sampling = {.temperature = options.temperature,
                                    .top_k = options.top_k,
                                    .top_p = options.top_p,
                                    .seed = static_cast<uint64_t>(options.seed)};
  const LoadedModel model = open_model(options.model);
  if (options.ids)
    continue_ids(options, sampling, model);
  else
    continue_text(options, sampling, model);
  std::cout << "\n";
  return 0;
}

}  // namespace

void add_generate_command(Command root) {
  Command command = root.command("generate", "Continue a prompt with a trained model");
  const auto options = std::make_shared<Options>();
  command.argument("CKPT", options->model, "checkpoint or run directory", true);
  command.option("--prompt", options->prompt, "TEXT", "text to continue");
  command.flag("--ids", options->ids, "the prompt is token ids, and so is what is printed");
  command.option("--tokens", options->tokens, "N", "tokens to add at most");
  command.option("--temperature", options->temperature, "T", "0: the likeliest token always");
  command.option("--top-k", options->top_k, "K", "only the K likeliest tokens; 0: all");
  command.option("--top-p", options->top_p, "P", "only the likeliest that together reach P");
  command.option("--seed", options->seed, "N", "of the draws");
  command.action([options] { return run(*options); });
}

}  // namespace hecate::launcher
