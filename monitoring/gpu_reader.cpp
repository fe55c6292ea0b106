#include "monitoring/gpu_reader.h"

#include <dlfcn.h>

#include <utility>

namespace hecate::monitoring {
namespace {

// The stable part of the library's interface (NVML API reference, device queries).
struct Utilization {
  unsigned int gpu, memory;  // per cent
};
struct Memory {
  unsigned long long total, free, used;
};
using Device = void*;
constexpr int kSuccess = 0;

template <class Function>
bool find(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(handle, name));
  return function != nullptr;
}

}  // namespace

struct GpuReader::Library {
  void* handle = nullptr;
  bool running = false;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(unsigned int*) = nullptr;
  int (*device)(unsigned int, Device*) = nullptr;
  int (*utilization)(Device, Utilization*) = nullptr;
  int (*memory)(Device, Memory*) = nullptr;

  bool load(const std::string& path) {
    handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    running = handle != nullptr && find(handle, "nvmlInit_v2", init) &&
              find(handle, "nvmlShutdown", shutdown) &&
              find(handle, "nvmlDeviceGetCount_v2", count) &&
              find(handle, "nvmlDeviceGetHandleByIndex_v2", device) &&
              find(handle, "nvmlDeviceGetUtilizationRates", utilization) &&
              find(handle, "nvmlDeviceGetMemoryInfo", memory) && init() == kSuccess;
    return running;
  }
  Library() = default;
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() {
    if (running) shutdown();
    if (handle != nullptr) ::dlclose(handle);
  }
};

GpuReader::GpuReader(std::unique_ptr<Library> library) : library_(std::move(library)) {}

GpuReader::~GpuReader() = default;

std::unique_ptr<GpuReader> GpuReader::open(const std::string& library) {
  auto loaded = std::make_unique<Library>();
  if (!loaded->load(library)) return nullptr;
  return std::unique_ptr<GpuReader>(new GpuReader(std::move(loaded)));
}

std::vector<GpuSample> GpuReader::read() const {
  std::vector<GpuSample> samples;
  unsigned int gpus = 0;
  if (library_->count(&gpus) != kSuccess) return samples;
  for (unsigned int i = 0; i < gpus; ++i) {
    Device device = nullptr;
    Utilization used{};
    Memory memory{};
    if (library_->device(i, &device) == kSuccess &&
        library_->utilization(device, &used) == kSuccess &&
        library_->memory(device, &memory) == kSuccess)
      samples.push_back({.index = static_cast<int>(i),
                         .utilization = used.gpu / 100.0,
                         .memory_used_bytes = static_cast<double>(memory.used),
                         .memory_total_bytes = static_cast<double>(memory.total)});
  }
  return samples;
}

}  // namespace hecate::monitoring
