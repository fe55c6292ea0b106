#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "runtime/tensor/dtype.h"

/// Weights to and from Hugging Face's layout (config.json, safetensors shards, index). Both ways
/// hold one tensor in memory at a time, whatever the model's size, and leave nothing behind when
/// they fail: the result is made beside its place, under NAME.partial, and renamed.
namespace hecate::launcher {

/// Elements done of all, called now and then.
using ConvertProgress = std::function<void(int64_t done, int64_t total)>;

struct ConvertReport {
  std::string architecture;  ///< the `model_type`
  int64_t parameters = 0;
  std::vector<std::string> files;  ///< weights written by export_hub, without their directory
};

struct ImportOptions {
  std::filesystem::path from;          ///< the hub's directory
  std::filesystem::path run;           ///< run directory to make
  std::vector<std::string> overrides;  ///< "key=value" on the configuration, as --set
};

/// Makes a run directory whose checkpoint of step 0 holds the weights, and no optimizer state: to
/// evaluate, to generate, and to go on training from. All tensors are checked before any is read.
/// @throws InvalidArgument naming the field or tensor that is missing, unknown, of a wrong shape or
///   of a dtype other than F64, F32, BF16 or F16; IoError for files.
ConvertReport import_hub(const ImportOptions& options, const ConvertProgress& progress = {});

struct ExportOptions {
  std::filesystem::path model;  ///< as open_model()
  std::filesystem::path to;     ///< directory to make; may exist if it is empty
  DType weights = DType::f32;   ///< or bf16, rounded to the nearest
  uint64_t shard_bytes = 5'000'000'000;
};

/// Writes a checkpoint's weights so that transformers loads them.
/// @throws InvalidArgument naming the key of the model's configuration that no known architecture
///   has, or if `to` holds something; IoError for files.
ConvertReport export_hub(const ExportOptions& options, const ConvertProgress& progress = {});

}  // namespace hecate::launcher
