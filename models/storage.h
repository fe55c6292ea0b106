#pragma once
#include <span>

#include "models/parameters.h"
#include "models/state.h"
#include "runtime/memory/ledger.h"

namespace hecate::models {

/// All parameters of a model on one rank, with gradients and both Adam moments when training: four
/// flat arrays of layout.elements().
class LocalStorage {
 public:
  /// Values are not initialised; moments are zero.
  LocalStorage(const ParameterLayout& layout, MemoryLedger& ledger, bool training);

  std::span<Real> values() { return span(values_); }
  std::span<Real> gradients() { return span(gradients_); }
  std::span<Real> first_moments() { return span(first_); }
  std::span<Real> second_moments() { return span(second_); }
  /// One tensor's piece of an array above.
  std::span<Real> piece(std::span<Real> array, ParameterId id) const;
  bool training() const { return gradients_.data() != nullptr; }
  const ParameterLayout& layout() const { return *layout_; }
  /// Where operations find parameters and gradients.
  ParameterTable table();

 private:
  std::span<Real> span(MemoryBlock& block) const;

  const ParameterLayout* layout_;
  MemoryBlock values_, gradients_, first_, second_;
};

}  // namespace hecate::models
