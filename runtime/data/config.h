#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/config_fields.h"

namespace hecate::data {

/// One source of a mixture.
struct SourceConfig {
  std::string path;
  double weight = 1;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("path", self.path, "dataset directory or token file", config::any());
    visit("weight", self.weight, "share of the samples, relative to the other weights; above 0",
          config::at_least(0));
  }
};

/// What training reads.
struct DataConfig {
  std::string path;
  std::vector<SourceConfig> mixture;
  std::string validation;
  std::string sampler = "epochs";
  double rs2_share = 0.3;
  bool mask_documents = false;
  int64_t document_end = -1;

  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    using namespace config;
    visit("path", self.path,
          "dataset directory (hecate data prepare) or token file: .tok, nanoGPT or llm.c .bin, "
          "Megatron .bin with .idx",
          any());
    visit("mixture", self.mixture, "weighted sources, in place of path", any());
    visit("validation", self.validation,
          "dataset directory or token file to evaluate on; empty: the held-out parts of the "
          "dataset directories trained on",
          any());
    visit("sampler", self.sampler,
          "epochs: every window once per epoch, shuffled; rs2: a fresh random share per epoch "
          "(arXiv 2305.18424)",
          one_of({"epochs", "rs2"}));
    visit("rs2_share", self.rs2_share, "share of the windows in an epoch of rs2; above 0",
          between(0, 1));
    visit("mask_documents", self.mask_documents,
          "attention stays inside documents, and no token predicts across their border", any());
    visit("document_end", self.document_end,
          "id that separates documents in token files that do not say it; -1: none", at_least(-1));
  }

  /// @throws InvalidArgument naming the key: neither or both of path and mixture, a source without
  ///   path, a weight not above 0 or not finite, a share outside (0, 1], an unknown sampler.
  void validate() const;
};

}  // namespace hecate::data
