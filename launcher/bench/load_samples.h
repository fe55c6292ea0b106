#pragma once
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace hecate::launcher {

/// Expert loads of a run, sample by sample.
struct LoadSamples {
  int samples = 0, layers = 0, sources = 0, experts = 0;
  std::vector<int64_t> counts;  ///< [samples, layers, sources, experts]

  /// [sources, experts].
  std::span<const int64_t> at(int sample, int layer) const {
    const size_t size = static_cast<size_t>(sources) * static_cast<size_t>(experts);
    return std::span(counts).subspan(
        (static_cast<size_t>(sample) * static_cast<size_t>(layers) + static_cast<size_t>(layer)) *
            size,
        size);
  }
};

/// A load trace: .npy of unsigned 16- or 32-bit counts [sample, source, layer, expert], as
/// trace_loads = true writes it. @throws IoError; InvalidArgument for any other array.
LoadSamples read_load_samples(const std::filesystem::path& path);

/// Loads that nobody recorded, by name: every source draws `rows` assignments per layer from the
/// layer's popularity of experts, which drifts from sample to sample.
/// - `zipf:S`: the i-th expert of a random order has weight i^-S; neighbours in the order swap.
/// - `dirichlet:A`: weights drawn from Dirichlet(A), A > 0 small for few busy experts; one in
///   sixteen parts of the weights is drawn anew.
/// With `:burst` behind either, in one sample of ten a random expert gets 5 times its weight plus
/// 5 % of all. @throws InvalidArgument for another name.
LoadSamples synthetic_loads(const std::string& kind, int samples, int layers, int sources,
                            int experts, int64_t rows, uint64_t seed);

}  // namespace hecate::launcher
