#pragma once
#include <span>
#include <vector>

namespace hecate::sharding {

/// FasterMoE's model of one MoE layer (He et al., PPoPP 2022): two linear maps per expert.
struct FasterMoeCost {
  double d_model = 0;       ///< H
  double hidden_ratio = 0;  ///< alpha: the expert's hidden size is alpha * H
  double bytes = 0;         ///< per element
  double bandwidth = 0;     ///< bytes per second
  double flops = 0;         ///< per second
};

/// The model's two rates.
struct ShadowSeconds {
  double token = 0;  ///< 3 t_comp + 4 t_tok: compute and exchanges of one token
  double model = 0;  ///< t_model: an expert's parameters, one direction
};
ShadowSeconds shadow_seconds(const FasterMoeCost& cost);

/// Experts that are copied to every device for this step ("shadowed"), rising. With experts by
/// falling load B0 >= B1 >= ..., expert k joins as long as the layer's modelled time
/// 3 t_comp B(k+1) + 4 t_tok B(k+1) + (k+1) t_model falls, where t_comp = 4 alpha H^2 / flops,
/// t_tok = H bytes / bandwidth and t_model = 2 alpha H^2 bytes / bandwidth. Equal loads: lower
/// index first.
/// @param loads per expert, summed over sources. @throws InvalidArgument for a negative load or a
///   cost that is not positive.
std::vector<int> shadowed_experts(std::span<const double> loads, const FasterMoeCost& cost);
/// The same of the `most` heaviest.
std::vector<int> shadowed_experts(std::span<const double> loads, const ShadowSeconds& seconds,
                                  int most);

}  // namespace hecate::sharding
