#include "models/storage.h"

#include <algorithm>

namespace hecate::models {

void initialize(uint64_t seed, Storage& storage) {
  for (const std::span<const OwnedPiece> pieces : {storage.pieces(), storage.replicas()})
    for (const OwnedPiece& piece : pieces)
      initialize_piece(storage.layout().spec(piece.id), seed, piece.begin,
                       {piece.value, static_cast<size_t>(piece.size)});
}

LocalStorage::LocalStorage(const ParameterLayout& layout, MemoryLedger& ledger, bool training)
    : layout_(&layout) {
  const int64_t bytes = layout.elements() * static_cast<int64_t>(sizeof(Real));
  values_ = MemoryBlock(ledger, MemoryCategory::parameters, bytes);
  values_.clear();
  if (training) {
    gradients_ = MemoryBlock(ledger, MemoryCategory::gradients, bytes);
    first_ = MemoryBlock(ledger, MemoryCategory::optimizer, bytes);
    second_ = MemoryBlock(ledger, MemoryCategory::optimizer, bytes);
    gradients_.clear();
    first_.clear();
    second_.clear();
  }
  for (size_t i = 0; i < layout.specs().size(); ++i) {
    const auto id = static_cast<ParameterId>(i);
    const auto at = [&](std::span<Real> array) {
      return array.empty() ? nullptr : array.data() + layout.offset(id);
    };
    pieces_.push_back({.id = id,
                       .begin = 0,
                       .size = layout.spec(id).size(),
                       .value = at(values()),
                       .gradient = at(gradients()),
                       .first_moment = at(first_moments()),
                       .second_moment = at(second_moments())});
  }
}

std::span<Real> LocalStorage::span(MemoryBlock& block) const {
  if (block.data() == nullptr) return {};
  return {reinterpret_cast<Real*>(block.data()), static_cast<size_t>(layout_->elements())};
}

std::span<Real> LocalStorage::piece(std::span<Real> array, ParameterId id) const {
  return array.subspan(static_cast<size_t>(layout_->offset(id)),
                       static_cast<size_t>(layout_->spec(id).size()));
}

ParameterTable LocalStorage::table() {
  ParameterTable table;
  for (size_t i = 0; i < layout_->specs().size(); ++i) {
    const auto id = static_cast<ParameterId>(i);
    table.value.push_back(values().data() + layout_->offset(id));
    if (training()) table.gradient.push_back(gradients().data() + layout_->offset(id));
  }
  return table;
}

}  // namespace hecate::models
