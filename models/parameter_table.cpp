#include "models/parameter_table.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "models/mup.h"
#include "runtime/base/error.h"

namespace hecate::models {
namespace {

constexpr size_t kColumns = 7;
using Row = std::array<std::string, kColumns>;

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", value);
  return text.data();
}

std::string shape_text(const Shape& shape) {
  std::string text = std::to_string(shape[0]);
  for (int i = 1; i < shape.rank(); ++i) text += concat("x", shape[i]);
  return text;
}

std::string init_text(const ParameterSpec& spec) {
  if (spec.init_std == 0) return number(spec.init_value);
  return concat("N(", number(spec.init_value), ",", number(spec.init_std), ")");
}

Row row_of(const ParameterSpec& spec, const UpdateRule& rule) {
  Row row = {spec.name, shape_text(spec.shape), std::string(name_of(spec.kind)), init_text(spec)};
  const bool moves = spec.trained() && !rule.frozen;
  row[4] = moves ? number(rule.rate_factor) : "-";
  row[5] = spec.trained() ? number(spec.forward) : "-";
  row[6] = moves ? number(rule.rate_factor * rule.weight_decay) : "-";
  return row;
}

std::string aligned(const std::vector<Row>& rows) {
  std::array<size_t, kColumns> width{};
  for (const Row& row : rows)
    for (size_t i = 0; i < kColumns; ++i) width[i] = std::max(width[i], row[i].size());
  std::string text;
  for (const Row& row : rows) {
    for (size_t i = 0; i + 1 < kColumns; ++i)
      text += row[i] + std::string(width[i] - row[i].size() + 2, ' ');
    text += row.back() + "\n";
  }
  return text;
}

std::string remarks(const ModelConfig& model) {
  const int64_t head =
      model.attention == "latent" ? model.nope_dim + model.rope_dim : model.head_size();
  std::string text = concat(
      "# init: N(mean, std) or a constant; rate: times the schedule's rate; forward: times what "
      "the "
      "tensor\n# computes; decay: of the tensor per step and unit of the schedule's rate\n",
      "# attention scores: times ", number(static_cast<double>(attention_scale(model, head))),
      "\n");
  if (model.tied_head)
    text += concat("# logits of the tied head: times ",
                   number(static_cast<double>(forward_multipliers(model).logits)), "\n");
  return text;
}

}  // namespace

std::string parameter_table(const ModelConfig& model, const OptimizerConfig& optimizer) {
  const ParameterLayout layout(model);
  const std::vector<UpdateRule> rules = update_rules(layout, optimizer);
  std::vector<Row> rows = {{"parameter", "shape", "kind", "init", "rate", "forward", "decay"}};
  for (size_t i = 0; i < rules.size(); ++i) rows.push_back(row_of(layout.specs()[i], rules[i]));
  return remarks(model) + aligned(rows);
}

}  // namespace hecate::models
