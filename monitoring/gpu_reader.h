#pragma once
#include <memory>
#include <string>
#include <vector>

namespace hecate::monitoring {

struct GpuSample {
  int index = 0;           ///< as the driver counts them
  double utilization = 0;  ///< share of the last sampling period in which a kernel ran
  double memory_used_bytes = 0, memory_total_bytes = 0;
};

/// The machine's GPUs as NVIDIA's management library sees them, loaded when it is asked for:
/// nothing is linked, and machines without it are as good.
class GpuReader {
 public:
  /// @return null where the library is missing or finds no driver.
  static std::unique_ptr<GpuReader> open(const std::string& library = "libnvidia-ml.so.1");
  ~GpuReader();
  GpuReader(const GpuReader&) = delete;
  GpuReader& operator=(const GpuReader&) = delete;

  /// Milliseconds a GPU. Those that do not answer are left out.
  std::vector<GpuSample> read() const;

 private:
  struct Library;
  explicit GpuReader(std::unique_ptr<Library> library);
  std::unique_ptr<Library> library_;
};

}  // namespace hecate::monitoring
