#include "sharding/exec/materializer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "collectives/backend.h"
#include "collectives/sparse.h"
#include "runtime/base/error.h"

namespace hecate::sharding::exec {
namespace {

using collectives::Placement;
using collectives::SparseSchedule;

}  // namespace

Materializer::Materializer(ExpertStore& store, const collectives::Communicator& sparse,
                           const collectives::Topology& topology, MemoryLedger& ledger,
                           const MaterializerOptions& options)
    : store_(&store),
      sparse_(sparse),
      topology_(topology),
      options_(options),
      layers_(static_cast<size_t>(store.chunks().layers)) {
  HECATE_CHECK(topology.ranks() == sparse.size(), "materializer: a topology of ", topology.ranks(),
               " ranks for a communicator of ", sparse.size());
  const int64_t ring_bytes =
      options.slots * store.chunks().elements * static_cast<int64_t>(sizeof(Real));
  if (options.lender == nullptr) {
    values_ =
        MemoryBlock(ledger, MemoryCategory::materialized, options.parameter_rings * ring_bytes);
    ring_values_ = reinterpret_cast<Real*>(values_.data());
  } else {
    const MaterializerOptions& lent = options.lender->options_;
    HECATE_CHECK(lent.parameter_rings == options.parameter_rings && lent.slots >= options.slots,
                 "materializer: ", options.parameter_rings, " rings of ", options.slots,
                 " slots, the lender has ", lent.parameter_rings, " of ", lent.slots);
    ring_values_ = options.lender->ring_values_;
  }
  if (options.training)
    gradients_ =
        MemoryBlock(ledger, MemoryCategory::gradients, options.gradient_rings * ring_bytes);
  const auto chunks = static_cast<size_t>(store.chunks().experts * parts());
  pointers_.resize(chunks);
  outputs_.resize(chunks);
  inputs_.resize(chunks);
}

void Materializer::prepare(const std::vector<Placement>& placements) {
  HECATE_CHECK(placements.size() == layers_.size(), "materializer: placements of ",
               placements.size(), " layers, expected ", layers_.size());
  for (size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    if (layer.epoch != store_->epoch() || layer.planned != placements[l])
      plan(static_cast<int64_t>(l), placements[l]);
    narrow(static_cast<int64_t>(l));
  }
}

void Materializer::check(int64_t layer, const Placement& placement) const {
  if (!store_->sliced())
    return check_materialized(store_->owners().placement(static_cast<int>(layer)), placement);
  for (int e = 0; e < placement.experts(); ++e)
    HECATE_CHECK(!placement.holders(e).empty(), "materializer: expert ", e, " of layer ", layer,
                 " is nowhere");
}

void Materializer::plan(int64_t layer, const Placement& placement) {
  check(layer, placement);
  assign_slots(layer, placement);
  Layer& entry = layers_[static_cast<size_t>(layer)];
  entry.gather = schedule(layer, placement, Way::gather);
  if (options_.training) entry.reduce = schedule(layer, placement, Way::reduce);
  if (options_.training && store_->replicated())
    entry.spread = schedule(layer, placement, Way::spread);
  entry.planned = placement;
  entry.epoch = store_->epoch();
}

void Materializer::assign_slots(int64_t layer, const Placement& placement) {
  std::vector<int> slots(static_cast<size_t>(store_->chunks().experts), -1);
  int next = 0;
  for (int e = 0; e < placement.experts(); ++e)
    if (placement.holds(e, sparse_.rank()) && !lives_here(layer, e))
      slots[static_cast<size_t>(e)] = next++;
  HECATE_CHECK(next <= options_.slots, "materializer: layer ", layer, " needs ", next,
               " slots on rank ", sparse_.rank(), ", there are ", options_.slots);
  layers_[static_cast<size_t>(layer)].slot_of = std::move(slots);
}

// Who takes part in a collective: its chunks' owners, and those that get or add something.
Placement Materializer::receivers(int64_t layer, const Placement& placement, Way way) const {
  const int experts = placement.experts(), parts = this->parts();
  Placement result(experts * parts, placement.devices());
  const Placement residents = store_->holders(static_cast<int>(layer));
  const Placement& taking_part = way == Way::spread ? residents : placement;
  for (int e = 0; e < experts; ++e)
    for (int p = 0; p < parts; ++p) {
      const int chunk = e * parts + p;
      result.add(chunk, store_->sliced() ? p : store_->owner(layer, e));
      for (int holder : taking_part.holders(e))
        if (way != Way::gather || store_->sliced() || !residents.holds(e, holder))
          result.add(chunk, holder);
    }
  return result;
}

SparseSchedule Materializer::schedule(int64_t layer, const Placement& placement, Way way) const {
  const bool narrow = options_.bf16_wire && way == Way::gather;
  const int64_t element = narrow ? int64_t{2} : static_cast<int64_t>(sizeof(Real));
  const Placement among = receivers(layer, placement, way);
  std::vector<int> owners;
  std::vector<int64_t> chunk_bytes;
  for (int e = 0; e < placement.experts(); ++e)
    for (int p = 0; p < parts(); ++p) {
      owners.push_back(store_->sliced() ? p : store_->owner(layer, e));
      chunk_bytes.push_back(store_->portion_of(p).size() * element);
    }
  const collectives::SparseRequest request{.owners = owners,
                                           .materialized = &among,
                                           .chunk_bytes = chunk_bytes,
                                           .topology = &topology_,
                                           .algorithm = options_.algorithm,
                                           .segment_bytes = sparse_.backend().segment_bytes()};
  return way == Way::reduce ? plan_reduce(request) : plan_gather(request);
}

template <class Pointer, class Whole, class Own>
void Materializer::point(std::vector<Pointer>& pointers, const Whole& whole, const Own& own) const {
  for (int64_t e = 0; e < store_->chunks().experts; ++e)
    for (int p = 0; p < parts(); ++p) {
      Pointer& pointer = pointers[static_cast<size_t>(e * parts() + p)];
      Real* const chunk = whole(e);
      if (store_->sliced() && p == sparse_.rank())
        pointer = own(e);
      else
        pointer = chunk == nullptr ? nullptr : chunk + store_->portion_of(p).begin;
    }
}

void Materializer::copy_slices(int64_t layer, int64_t ring) const {
  if (!store_->sliced()) return;
  const ElementRange mine = store_->portion_of(sparse_.rank());
  for (int64_t e = 0; e < store_->chunks().experts; ++e)
    if (Real* whole = value(layer, e, ring))
      std::copy_n(store_->chunk(layer, e).value, mine.size(), whole + mine.begin);
}

void Materializer::add_slices(int64_t layer, int64_t ring) const {
  if (!store_->sliced()) return;
  const ElementRange mine = store_->portion_of(sparse_.rank());
  for (int64_t e = 0; e < store_->chunks().experts; ++e) {
    const Real* whole = gradient(layer, e, ring);
    if (whole == nullptr) continue;
    Real* const sum = store_->chunk(layer, e).gradient;
    for (int64_t i = 0; i < mine.size(); ++i) sum[i] += whole[mine.begin + i];
  }
}

void Materializer::widen(int64_t layer, const Placement& placement) {
  Layer& entry = layers_[static_cast<size_t>(layer)];
  HECATE_CHECK(!store_->sliced(), "materializer: plans of sliced experts do not grow");
  check(layer, placement);
  for (int e = 0; e < placement.experts(); ++e)
    for (int device : entry.placement.holders(e))
      HECATE_CHECK(placement.holds(e, device), "materializer: the wider placement of layer ", layer,
                   " lacks expert ", e, " on rank ", device);
  int next = 1 + std::max(*std::ranges::max_element(entry.slot_of),
                          *std::ranges::max_element(entry.wider_slot));
  for (int e = 0; e < placement.experts(); ++e)
    for (int device : placement.holders(e)) {
      if (entry.placement.holds(e, device)) continue;
      entry.added.add(e, device);
      if (device == sparse_.rank()) entry.wider_slot[static_cast<size_t>(e)] = next++;
    }
  HECATE_CHECK(next <= options_.slots, "materializer: calibration of layer ", layer, " needs ",
               next, " slots on rank ", sparse_.rank(), ", there are ", options_.slots);
  entry.placement = placement;
}

void Materializer::narrow(int64_t layer) {
  Layer& entry = layers_[static_cast<size_t>(layer)];
  entry.placement = entry.planned;
  entry.added = store_->owners().placement(static_cast<int>(layer));
  entry.wider_slot.assign(entry.slot_of.size(), -1);
}

void Materializer::run_gather(const collectives::Communicator& communicator,
                              const SparseSchedule& schedule, std::span<void*> pointers) {
  collectives::sparse_all_gather(communicator, schedule, pointers, dtype_of<Real>(),
                                 options_.bf16_wire ? DType::bf16 : dtype_of<Real>())
      .wait();
}

void Materializer::gather(int64_t layer, int64_t ring) {
  const Layer& entry = layers_[static_cast<size_t>(layer)];
  point(
      pointers_,
      [&](int64_t e) { return value_in(layer, e, ring, entry.slot_of[static_cast<size_t>(e)]); },
      [&](int64_t e) { return store_->chunk(layer, e).value; });
  run_gather(sparse_, entry.gather, pointers_);
  copy_slices(layer, ring);
}

void Materializer::gather_again(int64_t layer, int64_t ring) {
  const Layer& entry = layers_[static_cast<size_t>(layer)];
  if (entry.placement == entry.planned) return gather(layer, ring);
  for (size_t e = 0; e < pointers_.size(); ++e)
    pointers_[e] = value(layer, static_cast<int64_t>(e), ring);
  run_gather(sparse_, schedule(layer, entry.placement, Way::gather), pointers_);
}

void Materializer::extend(const collectives::Communicator& communicator, int64_t layer,
                          int64_t ring, int64_t gradient_ring) {
  Layer& entry = layers_[static_cast<size_t>(layer)];
  const Placement owners = store_->owners().placement(static_cast<int>(layer));
  if (entry.added == owners) return;
  std::vector<void*> pointers(pointers_.size(), nullptr);
  for (size_t e = 0; e < pointers.size(); ++e) {
    if (!entry.added.holds(static_cast<int>(e), sparse_.rank())) continue;
    pointers[e] = value(layer, static_cast<int64_t>(e), ring);
    if (options_.training && options_.accumulate && entry.wider_slot[e] >= 0)
      std::memset(gradient(layer, static_cast<int64_t>(e), gradient_ring), 0, chunk_bytes());
  }
  run_gather(communicator, schedule(layer, entry.added, Way::gather), pointers);
  entry.added = owners;
}

void Materializer::reduce(int64_t layer, int64_t ring) {
  const Layer& entry = layers_[static_cast<size_t>(layer)];
  const auto of_chunk = [&](int64_t e) { return gradient(layer, e, ring); };
  const auto of_slice = [&](int64_t e) { return store_->chunk(layer, e).gradient; };
  const auto of_owner = [&](int64_t e) {
    return !store_->sliced() && store_->owns(layer, e) ? of_chunk(e) : nullptr;
  };
  add_slices(layer, ring);
  point(inputs_, of_chunk, of_slice);
  point(outputs_, of_owner, of_slice);
  const bool wider = entry.placement != entry.planned;
  const SparseSchedule widened =
      wider ? schedule(layer, entry.placement, Way::reduce) : SparseSchedule{};
  const SparseSchedule& reduce = wider ? widened : entry.reduce;
  collectives::sparse_reduce_scatter(sparse_, reduce, inputs_, outputs_, dtype_of<Real>()).wait();
  if (!store_->replicated()) return;
  for (size_t e = 0; e < pointers_.size(); ++e)
    pointers_[e] =
        lives_here(layer, static_cast<int64_t>(e)) ? of_chunk(static_cast<int64_t>(e)) : nullptr;
  collectives::sparse_all_gather(sparse_, entry.spread, pointers_, dtype_of<Real>(),
                                 dtype_of<Real>())
      .wait();
}

void Materializer::clear_gradients(int64_t layer, int64_t ring) {
  const Layer& entry = layers_[static_cast<size_t>(layer)];
  for (int64_t e = 0; e < std::ssize(entry.slot_of); ++e)
    if (slot(entry, e) >= 0) std::memset(gradient(layer, e, ring), 0, chunk_bytes());
}

Real* Materializer::ring_chunk(Real* memory, int64_t rings, int64_t ring, int slot) const {
  HECATE_CHECK(ring >= 0 && ring < rings, "materializer: ring ", ring, " of ", rings);
  return memory + (ring * options_.slots + slot) * store_->chunks().elements;
}

int Materializer::slot(const Layer& layer, int64_t expert) const {
  const auto e = static_cast<size_t>(expert);
  return layer.slot_of[e] >= 0 ? layer.slot_of[e] : layer.wider_slot[e];
}

Real* Materializer::value_in(int64_t layer, int64_t expert, int64_t ring, int slot) const {
  if (lives_here(layer, expert)) return store_->chunk(layer, expert).value;
  return slot < 0 ? nullptr : ring_chunk(ring_values_, options_.parameter_rings, ring, slot);
}

Real* Materializer::value(int64_t layer, int64_t expert, int64_t ring) const {
  return value_in(layer, expert, ring, slot(layers_[static_cast<size_t>(layer)], expert));
}

Real* Materializer::gradient(int64_t layer, int64_t expert, int64_t ring) const {
  if (lives_here(layer, expert)) return store_->chunk(layer, expert).gradient;
  const int at = slot(layers_[static_cast<size_t>(layer)], expert);
  return at < 0 ? nullptr
                : ring_chunk(reinterpret_cast<Real*>(gradients_.data()), options_.gradient_rings,
                             ring, at);
}

}  // namespace hecate::sharding::exec
