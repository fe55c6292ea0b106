#include "launcher/bench/coordinate_check.h"

#include <cmath>
#include <span>
#include <string>

#include "models/storage.h"
#include "models/transformer.h"
#include "runtime/base/rng.h"

namespace hecate::launcher {
namespace {

double mean_absolute(std::span<const Real> values) {
  double sum = 0;
  for (const Real value : values) sum += std::abs(static_cast<double>(value));
  return sum / static_cast<double>(values.size());
}

// Which coordinate an operation's result belongs to, or kCoordinates.
size_t coordinate_of(const std::string& op) {
  const auto is = [](Coordinate coordinate) { return static_cast<size_t>(coordinate); };
  if (op == "embedding") return is(Coordinate::embedding);
  if (op.ends_with(".attention.output")) return is(Coordinate::attention);
  if (op.ends_with(".ffn.combine") || op.ends_with(".ffn.down")) return is(Coordinate::experts);
  return kCoordinates;
}

/// One model from one seed with everything that trains and looks at it.
class Subject {
 public:
  Subject(const CoordinateOptions& options, const models::ModelConfig& model, uint64_t seed)
      : model_(model),
        router_(options.router),
        layout_(model_),
        storage_(layout_, ledger_, true),
        lanes_(options.threads),
        batch_{.sequences = options.sequences, .sequence = model.sequence},
        trained_(model_, router_, layout_, state_, batch_, models::GraphMode::train, false),
        seen_(model_, router_, layout_, state_, batch_, models::GraphMode::logits, false),
        optimizer_(options.optimizer, model_, router_, storage_, state_),
        train_(trained_.graph(), lanes_, ledger_),
        look_(seen_.graph(), lanes_, ledger_),
        update_(optimizer_.graph(), lanes_, ledger_) {
    models::initialize(seed, storage_);
    state_.parameters = storage_.table();
    make_batch(seed);
    set_scalars(seed);
    for (graph::Executor* executor : {&train_, &look_})
      executor->bind(graph_of(executor).inputs().tokens, tokens_.data());
    train_.bind(trained_.inputs().targets, targets_.data());
    look_.bind(seen_.inputs().logits, logits_.data());
    trained_.bind_constants(train_);
    seen_.bind_constants(look_);
    optimizer_.bind(update_);
    look_.observe([this](const graph::OpContext& c) { observe(c); });
  }

  // Adds what a forward pass shows.
  void look(std::array<double, kCoordinates>& means) {
    sums_ = {};
    counts_ = {};
    look_.run();
    if (first_.empty()) first_ = logits_;
    double moved = 0;
    for (size_t i = 0; i < logits_.size(); ++i)
      moved += std::abs(static_cast<double>(logits_[i] - first_[i]));
    for (size_t c = 0; c < kCoordinates; ++c)
      if (counts_[c] > 0) means[c] += sums_[c] / static_cast<double>(counts_[c]);
    means[static_cast<size_t>(Coordinate::logits)] += moved / static_cast<double>(logits_.size());
  }

  void train(int64_t step, double rate) {
    state_.scalars.step = step;
    state_.statistics.reset();
    train_.run();
    optimizer_.prepare(rate, step + 1);
    update_.run();
  }

 private:
  const models::TransformerGraph& graph_of(const graph::Executor* executor) const {
    return executor == &train_ ? trained_ : seen_;
  }

  void observe(const graph::OpContext& c) {
    const size_t coordinate = coordinate_of(c.op().name);
    if (coordinate == kCoordinates) return;
    const auto out = c.view<const Real>(c.op().writes.front(), {batch_.tokens(), model_.d_model});
    sums_[coordinate] += mean_absolute({out.data(), static_cast<size_t>(out.size())});
    ++counts_[coordinate];
  }

  // As in text, few tokens make up most of it (log-uniform, about Zipf's law): where all are rare,
  // what logits move by is mostly noise of order 1 / sqrt(width) around the part that is learned. A
  // target follows from its token but for every fourth.
  void make_batch(uint64_t seed) {
    const CounterRng rng(seed, stream_of("coordinates"));
    const auto vocabulary = static_cast<double>(model_.vocabulary);
    const auto count = static_cast<uint64_t>(batch_.tokens());
    const auto draw = [&](uint64_t index) {
      return static_cast<int64_t>(std::pow(vocabulary, rng.uniform(index))) - 1;
    };
    for (uint64_t t = 0; t < count; ++t) {
      const int64_t token = draw(2 * t);
      const int64_t target = t % 4 == 3 ? draw(2 * t + 1) : (5 * token + 3) % model_.vocabulary;
      tokens_.push_back(static_cast<int32_t>(token));
      targets_.push_back(static_cast<int32_t>(target));
    }
    logits_.resize(count * static_cast<uint64_t>(model_.vocabulary));
  }

  void set_scalars(uint64_t seed) {
    models::StepScalars& scalars = state_.scalars;
    scalars.seed = seed;
    scalars.local_tokens = scalars.global_tokens = batch_.tokens();
    scalars.loss_scale = 1.0 / static_cast<double>(batch_.tokens());
    scalars.training = true;
  }

  models::ModelConfig model_;
  models::RouterConfig router_;
  models::ParameterLayout layout_;
  MemoryLedger ledger_;
  models::LocalStorage storage_;
  graph::LaneSet lanes_;
  models::ModelState state_;
  models::BatchShape batch_;
  models::TransformerGraph trained_, seen_;
  models::OptimizerGraph optimizer_;
  graph::Executor train_, look_, update_;
  std::vector<int32_t> tokens_, targets_;
  std::vector<Real> logits_, first_;
  std::array<double, kCoordinates> sums_{};
  std::array<int64_t, kCoordinates> counts_{};
};

}  // namespace

std::string_view name_of(Coordinate coordinate) {
  constexpr std::array<std::string_view, kCoordinates> kNames = {"embedding", "attention",
                                                                 "experts", "logits"};
  return kNames[static_cast<size_t>(coordinate)];
}

models::ModelConfig widened(const models::ModelConfig& model, int64_t factor, bool wide_experts) {
  models::ModelConfig wide = model;
  wide.mup.base = {.d_model = model.d_model,
                   .heads = model.heads,
                   .head_dim = model.head_size(),
                   .dense_hidden = model.dense_width(),
                   .expert_hidden = model.expert_hidden,
                   .kv_lora_rank = model.kv_lora_rank,
                   .v_dim = model.v_dim};
  wide.head_dim = model.head_size();
  wide.d_model *= factor;
  wide.heads *= factor;
  wide.kv_heads *= factor;
  wide.kv_lora_rank *= factor;
  wide.dense_hidden = factor * model.dense_width();
  if (wide_experts) wide.expert_hidden *= factor;
  return wide;
}

double CoordinateCheck::growth(Coordinate coordinate, size_t step) const {
  const auto& by_width = values[static_cast<size_t>(coordinate)];
  const auto count = static_cast<double>(widths.size());
  double x = 0, y = 0, xx = 0, xy = 0;
  for (size_t w = 0; w < widths.size(); ++w) {
    if (by_width[w][step] <= 0) return 0;
    const double a = std::log(static_cast<double>(widths[w])), b = std::log(by_width[w][step]);
    x += a;
    y += b;
    xx += a * a;
    xy += a * b;
  }
  return (count * xy - x * y) / (count * xx - x * x);
}

double CoordinateCheck::worst_growth(Coordinate coordinate) const {
  double worst = 0;
  for (size_t step = 0; step < values[static_cast<size_t>(coordinate)].front().size(); ++step) {
    const double found = growth(coordinate, step);
    if (std::abs(found) > std::abs(worst)) worst = found;
  }
  return worst;
}

CoordinateCheck check_coordinates(const CoordinateOptions& options) {
  HECATE_CHECK(options.widths.size() >= 2 && options.seeds >= 1 && options.steps >= 1,
               "coordinate check: ", options.widths.size(), " widths, ", options.seeds, " seeds, ",
               options.steps, " steps; expected at least 2, 1 and 1");
  CoordinateCheck check{.widths = options.widths, .values = {}};
  const auto steps = static_cast<size_t>(options.steps);
  for (const int64_t width : options.widths) {
    models::ModelConfig model = widened(options.model, width, options.wide_experts);
    model.mup.enabled = options.mup;
    std::vector<std::array<double, kCoordinates>> sums(steps + 1);
    for (int64_t seed = 0; seed < options.seeds; ++seed) {
      Subject subject(options, model, static_cast<uint64_t>(seed));
      subject.look(sums[0]);
      for (size_t step = 0; step < steps; ++step) {
        subject.train(static_cast<int64_t>(step), options.rate);
        subject.look(sums[step + 1]);
      }
    }
    for (size_t c = 0; c < kCoordinates; ++c) {
      std::vector<double>& values = check.values[c].emplace_back();
      for (const auto& sum : sums) values.push_back(sum[c] / static_cast<double>(options.seeds));
    }
  }
  return check;
}

}  // namespace hecate::launcher
