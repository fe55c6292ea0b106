/// A management library with two GPUs, the second of which does not answer for its memory.
// NOLINTBEGIN(readability-identifier-naming): the names are the library's.
extern "C" {
struct Utilization {
  unsigned int gpu, memory;
};
struct Memory {
  unsigned long long total, free, used;
};

int nvmlInit_v2() {
  return 0;
}
int nvmlShutdown() {
  return 0;
}
int nvmlDeviceGetCount_v2(unsigned int* count) {
  *count = 2;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void** device) {
  static char devices[2];
  *device = &devices[index];
  return 0;
}
int nvmlDeviceGetUtilizationRates(void*, Utilization* utilization) {
  *utilization = {.gpu = 75, .memory = 10};
  return 0;
}
int nvmlDeviceGetMemoryInfo(void* device, Memory* memory) {
  void* first = nullptr;
  nvmlDeviceGetHandleByIndex_v2(0, &first);
  if (device != first) return 3;
  *memory = {.total = 1000, .free = 600, .used = 400};
  return 0;
}
}
// NOLINTEND(readability-identifier-naming)
