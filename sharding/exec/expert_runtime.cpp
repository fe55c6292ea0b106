#include "sharding/exec/expert_runtime.h"

#include <algorithm>
#include <chrono>

#include "runtime/base/error.h"

namespace hecate::sharding::exec {
namespace {

// With release, layers share 1 + depth buffers. Replica gradients are summed right after their
// layer's backward, so two buffers let that run under the next layer's; only when the sum waits for
// a later micro-batch must all layers' exist.
MaterializerOptions materializer_options(const ExpertStore& store,
                                         const ExpertRuntimeOptions& options) {
  const int64_t layers = std::max<int64_t>(1, store.chunks().layers);
  const bool keeps_gradients = !options.release && options.micro_batches > 1;
  return {
      .slots = options.slots,
      .parameter_rings = options.release ? std::min(layers, 1 + options.prefetch_depth) : layers,
      .gradient_rings = keeps_gradients ? layers : std::min<int64_t>(layers, 2),
      .training = options.training,
      .accumulate = keeps_gradients,
      .bf16_wire = options.bf16_wire,
      .algorithm = options.algorithm,
      .lender = options.lender};
}

}  // namespace

ExpertRuntime::ExpertRuntime(const DomainLanes& lanes, ExpertStore& store, MemoryLedger& ledger,
                             const ExpertRuntimeOptions& options)
    : lanes_(lanes),
      store_(&store),
      options_(options),
      materializer_(store, lanes.sparse, lanes.topology, ledger,
                    materializer_options(store, options)),
      replicas_(store, lanes.replicas) {
  HECATE_CHECK(options.prefetch_depth >= 0 && options.slots >= 0 && options.micro_batches >= 1,
               "expert runtime: prefetch depth ", options.prefetch_depth, ", ", options.slots,
               " slots, ", options.micro_batches, " micro-batches");
  for (int64_t l = 0; l < store.chunks().layers; ++l) {
    DispatcherOptions dispatcher = options.dispatcher;
    if (options.split)
      dispatcher.split = [split = options.split, l](std::span<const int64_t> counts,
                                                    const collectives::Placement& placement) {
        return split(l, placement, counts);
      };
    dispatchers_.push_back(std::make_unique<TokenDispatcher>(
        lanes, store.chunks().experts, std::max(options.counts_size, store.chunks().experts),
        dispatcher));
  }
}

void ExpertRuntime::prepare(const std::vector<collectives::Placement>& placements,
                            std::vector<std::vector<int>> copies) {
  materializer_.prepare(placements);
  copies_ = std::move(copies);
  if (store_->sliced() && options_.training) store_->clear_gradients();
}

int64_t ExpertRuntime::reduced_bytes() const {
  const ExpertChunks& chunks = store_->chunks();
  const int64_t resident =
      store_->replicated() ? store_->slots() / std::max<int64_t>(1, chunks.layers) : 0;
  return (options_.slots + resident) * chunks.elements * static_cast<int64_t>(sizeof(Real));
}

void ExpertRuntime::prepare_owners_only() {
  std::vector<collectives::Placement> placements;
  for (int l = 0; l < store_->owners().layers(); ++l)
    placements.push_back(store_->owners().placement(l));
  materializer_.prepare(placements);
}

void ExpertRuntime::calibrate(int64_t layer) {
  const auto begin = std::chrono::steady_clock::now();
  if (!once_per_step()) materializer_.narrow(layer);
  const collectives::Placement& before = materializer_.placement(layer);
  const auto found = options_.after_gate(layer, before, dispatcher(layer).domain_kept());
  if (found && *found != before) {
    ++calibration_.layers;
    for (int e = 0; e < before.experts(); ++e)
      calibration_.copies += std::ssize(found->holders(e)) - std::ssize(before.holders(e));
    materializer_.widen(layer, *found);
  }
  calibration_.seconds +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void ExpertRuntime::add_loads(StepLoads& loads) const {
  for (size_t l = 0; l < dispatchers_.size(); ++l) {
    const std::span<const int64_t> kept = dispatchers_[l]->kept();
    const std::span<int64_t> sum = loads.layer(static_cast<int>(l));
    for (size_t i = 0; i < kept.size(); ++i) sum[i] += kept[i];
  }
}

}  // namespace hecate::sharding::exec
