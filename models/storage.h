#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "models/parameters.h"
#include "models/state.h"
#include "runtime/memory/ledger.h"

namespace hecate::models {

/// A contiguous piece of a logical tensor that a rank owns: elements [begin, begin + size) of the
/// row-major tensor, with its gradient and moments (null outside training).
struct OwnedPiece {
  ParameterId id = -1;
  int64_t begin = 0, size = 0;
  Real* value = nullptr;
  Real* gradient = nullptr;
  Real* first_moment = nullptr;
  Real* second_moment = nullptr;
};

/// Who keeps a model's parameters: over all ranks together, the pieces hold every element of every
/// tensor once. Optimizer, checkpoints and initialisation speak to it.
class Storage {
 public:
  virtual ~Storage() = default;
  virtual const ParameterLayout& layout() const = 0;
  /// This rank's pieces, by id, then by begin.
  virtual std::span<const OwnedPiece> pieces() const = 0;
  /// Further copies of what is in ranks' pieces, with gradients and moments that are the same:
  /// whoever fills or updates pieces does so with these, but nobody counts or saves them.
  virtual std::span<const OwnedPiece> replicas() const { return {}; }
  /// Where operations find parameters and gradients; experts of sharded storages are null.
  virtual ParameterTable table() = 0;
};

/// Initial values of the pieces and replicas: each element is a function of (seed, tensor name,
/// index), so any owner of any piece makes the same values.
void initialize(uint64_t seed, Storage& storage);

/// All parameters of a model on one rank, with gradients and both Adam moments when training: four
/// flat arrays of layout.elements().
class LocalStorage final : public Storage {
 public:
  /// Values and moments are zero.
  LocalStorage(const ParameterLayout& layout, MemoryLedger& ledger, bool training);

  const ParameterLayout& layout() const override { return *layout_; }
  std::span<const OwnedPiece> pieces() const override { return pieces_; }
  ParameterTable table() override;

  std::span<Real> values() { return span(values_); }
  std::span<Real> gradients() { return span(gradients_); }
  std::span<Real> first_moments() { return span(first_); }
  std::span<Real> second_moments() { return span(second_); }
  /// One tensor's piece of an array above.
  std::span<Real> piece(std::span<Real> array, ParameterId id) const;
  bool training() const { return gradients_.data() != nullptr; }

 private:
  std::span<Real> span(MemoryBlock& block) const;

  const ParameterLayout* layout_;
  MemoryBlock values_, gradients_, first_, second_;
  std::vector<OwnedPiece> pieces_;
};

}  // namespace hecate::models
