#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/config.h"
#include "runtime/base/real.h"
#include "runtime/tensor/tensor_view.h"

namespace hecate::models {

enum class ParameterKind : uint8_t {
  embedding,
  positions,
  hidden,  ///< attention, dense and shared feed-forward matrices
  expert,
  router,
  norm,
  head,
  router_bias,  ///< moved by load, not by gradient
};
std::string_view name_of(ParameterKind kind);

/// One logical tensor: what checkpoints, optimizer groups and muP speak of.
struct ParameterSpec {
  std::string name;
  Shape shape;
  ParameterKind kind = ParameterKind::hidden;
  int32_t layer = -1;
  int32_t expert = -1;
  double init_std = 0;    ///< 0 with init_value
  double init_value = 0;  ///< added to the normal draw: 1 for norm weights
  double rate = 1;        ///< factor on the learning rate
  double decay = 1;       ///< factor on the weight decay
  double forward = 1;     ///< factor on what it computes in a forward pass, for information

  int64_t size() const { return shape.size(); }
  bool trained() const { return kind != ParameterKind::router_bias; }
};

/// Index into ParameterLayout::specs.
using ParameterId = int32_t;

/// All parameters of a model and where they lie in one flat array: dense ones in layer order first,
/// then the experts, each expert's tensors adjacent (its chunk). Every tensor starts at a multiple
/// of 16 elements.
class ParameterLayout {
 public:
  /// @throws InvalidArgument if the configuration is impossible.
  explicit ParameterLayout(const ModelConfig& config);

  std::span<const ParameterSpec> specs() const { return specs_; }
  const ParameterSpec& spec(ParameterId id) const { return specs_[static_cast<size_t>(id)]; }
  int64_t offset(ParameterId id) const { return offsets_[static_cast<size_t>(id)]; }
  /// Elements of the flat array, padding included.
  int64_t elements() const { return elements_; }
  /// Elements before the first expert: the dense part.
  int64_t dense_elements() const { return dense_elements_; }
  /// Parameters, padding excluded.
  int64_t parameters() const;
  /// Parameters that one token uses: all dense ones, top_k experts per MoE layer; without the
  /// token embedding when the head is its own matrix.
  int64_t active_parameters(const ModelConfig& config) const;
  /// @throws InvalidArgument for an unknown name, with the nearest.
  ParameterId find(std::string_view name) const;
  /// -1 when there is none.
  ParameterId find_or_none(std::string_view name) const;

 private:
  void add(ParameterSpec spec);
  void add_norm(const ModelConfig& config, const std::string& prefix, int64_t size, int32_t layer);
  void add_layer(const ModelConfig& config, int32_t layer);
  void add_experts(const ModelConfig& config, int32_t layer);

  std::vector<ParameterSpec> specs_;
  std::vector<int64_t> offsets_;
  int64_t elements_ = 0, dense_elements_ = 0;
};

/// Initial values of elements [begin, begin + out.size()) of a tensor: each is a function of (seed,
/// tensor name, index).
void initialize_piece(const ParameterSpec& spec, uint64_t seed, int64_t begin, std::span<Real> out);

}  // namespace hecate::models
