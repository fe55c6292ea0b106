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
  values_ = MemoryBlock(ledger, MemoryCategory::materialized, options.parameter_rings * ring_bytes);
  if (options.training)
    gradients_ =
        MemoryBlock(ledger, MemoryCategory::gradients, options.gradient_rings * ring_bytes);
  const auto experts = static_cast<size_t>(store.chunks().experts);
  pointers_.resize(experts);
  outputs_.resize(experts);
  inputs_.resize(experts);
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

void Materializer::plan(int64_t layer, const Placement& placement) {
  check_materialized(store_->owners().placement(static_cast<int>(layer)), placement);
  assign_slots(layer, placement);
  Layer& entry = layers_[static_cast<size_t>(layer)];
  entry.gather = schedule(layer, placement, false);
  if (options_.training) entry.reduce = schedule(layer, placement, true);
  entry.planned = placement;
  entry.epoch = store_->epoch();
}

void Materializer::assign_slots(int64_t layer, const Placement& placement) {
  std::vector<int> slots(static_cast<size_t>(store_->chunks().experts), -1);
  int next = 0;
  for (int e = 0; e < placement.experts(); ++e)
    if (placement.holds(e, sparse_.rank()) && !store_->owns(layer, e))
      slots[static_cast<size_t>(e)] = next++;
  HECATE_CHECK(next <= options_.slots, "materializer: layer ", layer, " needs ", next,
               " slots on rank ", sparse_.rank(), ", there are ", options_.slots);
  layers_[static_cast<size_t>(layer)].slot_of = std::move(slots);
}

SparseSchedule Materializer::schedule(int64_t layer, const Placement& placement,
                                      bool reduce) const {
  const bool narrow = options_.bf16_wire && !reduce;
  const auto bytes =
      store_->chunks().elements * (narrow ? int64_t{2} : static_cast<int64_t>(sizeof(Real)));
  const std::vector<int64_t> chunk_bytes(static_cast<size_t>(store_->chunks().experts), bytes);
  const collectives::SparseRequest request{
      .owners = store_->owners().layer(static_cast<int>(layer)),
      .materialized = &placement,
      .chunk_bytes = chunk_bytes,
      .topology = &topology_,
      .algorithm = options_.algorithm,
      .segment_bytes = sparse_.backend().segment_bytes()};
  return reduce ? plan_reduce(request) : plan_gather(request);
}

void Materializer::widen(int64_t layer, const Placement& placement) {
  Layer& entry = layers_[static_cast<size_t>(layer)];
  check_materialized(store_->owners().placement(static_cast<int>(layer)), placement);
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
  for (size_t e = 0; e < pointers_.size(); ++e)
    pointers_[e] = value_in(layer, static_cast<int64_t>(e), ring, entry.slot_of[e]);
  run_gather(sparse_, entry.gather, pointers_);
}

void Materializer::gather_again(int64_t layer, int64_t ring) {
  const Layer& entry = layers_[static_cast<size_t>(layer)];
  if (entry.placement == entry.planned) return gather(layer, ring);
  for (size_t e = 0; e < pointers_.size(); ++e)
    pointers_[e] = value(layer, static_cast<int64_t>(e), ring);
  run_gather(sparse_, schedule(layer, entry.placement, false), pointers_);
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
  run_gather(communicator, schedule(layer, entry.added, false), pointers);
  entry.added = owners;
}

void Materializer::reduce(int64_t layer, int64_t ring) {
  const Layer& entry = layers_[static_cast<size_t>(layer)];
  for (size_t e = 0; e < inputs_.size(); ++e) {
    Real* mine = gradient(layer, static_cast<int64_t>(e), ring);
    inputs_[e] = mine;
    outputs_[e] = store_->owns(layer, static_cast<int64_t>(e)) ? mine : nullptr;
  }
  const bool wider = entry.placement != entry.planned;
  const SparseSchedule widened = wider ? schedule(layer, entry.placement, true) : SparseSchedule{};
  const SparseSchedule& reduce = wider ? widened : entry.reduce;
  collectives::sparse_reduce_scatter(sparse_, reduce, inputs_, outputs_, dtype_of<Real>()).wait();
}

void Materializer::clear_gradients(int64_t layer, int64_t ring) {
  const Layer& entry = layers_[static_cast<size_t>(layer)];
  for (int64_t e = 0; e < std::ssize(entry.slot_of); ++e)
    if (slot(entry, e) >= 0) std::memset(gradient(layer, e, ring), 0, chunk_bytes());
}

Real* Materializer::ring_chunk(const MemoryBlock& block, int64_t rings, int64_t ring,
                               int slot) const {
  HECATE_CHECK(ring >= 0 && ring < rings, "materializer: ring ", ring, " of ", rings);
  return reinterpret_cast<Real*>(block.data()) +
         (ring * options_.slots + slot) * store_->chunks().elements;
}

int Materializer::slot(const Layer& layer, int64_t expert) const {
  const auto e = static_cast<size_t>(expert);
  return layer.slot_of[e] >= 0 ? layer.slot_of[e] : layer.wider_slot[e];
}

Real* Materializer::value_in(int64_t layer, int64_t expert, int64_t ring, int slot) const {
  if (store_->owns(layer, expert)) return store_->chunk(layer, expert).value;
  return slot < 0 ? nullptr : ring_chunk(values_, options_.parameter_rings, ring, slot);
}

Real* Materializer::value(int64_t layer, int64_t expert, int64_t ring) const {
  return value_in(layer, expert, ring, slot(layers_[static_cast<size_t>(layer)], expert));
}

Real* Materializer::gradient(int64_t layer, int64_t expert, int64_t ring) const {
  if (store_->owns(layer, expert)) return store_->chunk(layer, expert).gradient;
  const int at = slot(layers_[static_cast<size_t>(layer)], expert);
  return at < 0 ? nullptr : ring_chunk(gradients_, options_.gradient_rings, ring, at);
}

}  // namespace hecate::sharding::exec
