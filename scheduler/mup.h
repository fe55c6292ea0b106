#pragma once
#include <cstdint>

#include "runtime/base/config_fields.h"

/// Maximal update parametrisation (muP) for Adam: how initial values, rates and multipliers follow
/// from a tensor's fan-in, so that activations and their changes keep their size when a model gets
/// wider, and the best rate of a narrow model is that of a wide one.
///
/// With m = fan-in / fan-in of the same tensor in a base model:
///
///   tensor                            initial std   rate    forward
///   embedding, learned positions      s             r       output * embedding_multiplier
///   hidden matrices, experts, router  s / sqrt(m)   r / m   branches * residual_multiplier
///                                                             / sqrt(layers)
///   norms and biases                  -             r
///   head                              0 or s        r       logits / m
///   attention scores                                        * 1 / d_head, not 1 / sqrt(d_head)
///
/// The router has a fixed number of outputs: its logits stay what they are because its rate (not
/// the logits) is divided by m.
/// Sources: Yang et al. 2022, arXiv:2203.03466, table 8; embedding and residual multipliers: Shen
/// et al. 2024, arXiv:2408.13359; experts and routers are treated in arXiv:2508.09752.
namespace hecate::scheduler {

/// Sizes of the base model that are not this model's.
struct MupBase {
  int64_t d_model = 0, heads = 0, head_dim = 0, dense_hidden = 0, expert_hidden = 0,
          kv_lora_rank = 0, v_dim = 0;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    const auto size = [&](const char* name, auto& member) {
      visit(name, member, "of the base model; 0: as this model's", at_least(0));
    };
    size("d_model", self.d_model);
    size("heads", self.heads);
    size("head_dim", self.head_dim);
    size("dense_hidden", self.dense_hidden);
    size("expert_hidden", self.expert_hidden);
    size("kv_lora_rank", self.kv_lora_rank);
    size("v_dim", self.v_dim);
  }
};

struct MupConfig {
  bool enabled = false;
  double init_std = 0.1;
  double embedding_multiplier = 12;
  double residual_multiplier = 1.4;
  bool zero_head = true;
  bool couple_decay = false;
  MupBase base;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("enabled", self.enabled,
          "initial values, rates and multipliers follow the maximal update parametrisation; "
          "model.init_std and model.scaled_residual_init are not used then",
          any());
    visit("init_std", self.init_std, "standard deviation of the base model's matrices",
          at_least(0));
    visit("embedding_multiplier", self.embedding_multiplier, "on the embedding's output",
          at_least(0));
    visit("residual_multiplier", self.residual_multiplier,
          "this / sqrt(layers) multiplies every residual branch", at_least(0));
    visit("zero_head", self.zero_head, "a head of its own starts at zero, not at init_std", any());
    visit("couple_decay", self.couple_decay,
          "weight decay shrinks with a tensor's rate; else all matrices decay alike", any());
    visit("base", self.base, "the model from which widths are counted");
  }
};

/// What a tensor is to the rules.
enum class MupKind : uint8_t {
  embedding,  ///< also learned positions
  hidden,     ///< matrices inside a layer, experts' and router's included
  branch,     ///< the last matrix of a residual branch: hidden, and its output is multiplied
  vector,     ///< norms and biases
  head,
};

/// How one tensor starts, is used and is updated.
struct MupRule {
  double init_std = 0;  ///< meaningless for vectors
  double rate = 1;      ///< factor on the learning rate
  double decay = 1;     ///< factor on the weight decay, which the optimizer multiplies by the rate
  double forward = 1;   ///< factor on what the tensor computes
};

/// @param m fan-in over the base model's, above 0. @param layers at least 1.
MupRule mup_rule(const MupConfig& config, MupKind kind, double m, int64_t layers);

/// Factor on every residual branch.
double mup_residual(const MupConfig& config, int64_t layers);

}  // namespace hecate::scheduler
