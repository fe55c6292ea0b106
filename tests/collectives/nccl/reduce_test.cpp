// The reduction kernel against the CPU's loop; skipped where there is no GPU.
#include "collectives/nccl/reduce.h"

#include <gtest/gtest.h>

#include <cstring>

#include "collectives/nccl/device.h"
#include "collectives/nccl/nccl.h"
#include "tests/collectives/contract_values.h"

namespace hecate::collectives::nccl {
namespace {

class ReduceOnDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (devices() == 0) GTEST_SKIP() << "no GPU";
  }

  // Both devices' results for inputs with fractions, some of them wide.
  template <class T>
  void compare(ReduceOp op, int inputs, int64_t count, bool wide_output) {
    const DType type = dtype_of<T>();
    const Stream stream(false);
    const auto bytes = static_cast<size_t>(count) * 8;
    std::vector<std::vector<std::byte>> host(static_cast<size_t>(inputs) + 2,
                                             std::vector<std::byte>(bytes));
    std::vector<StreamMemory> memory;
    std::vector<Source> host_sources, device_sources;
    for (int i = 0; i < inputs; ++i) {
      auto& values = host[static_cast<size_t>(i)];
      const bool wide = type == DType::bf16 && i % 2 == 1;
      for (int64_t k = 0; k < count; ++k) put<T>(values.data(), wide, k, i);
      memory.emplace_back(static_cast<int64_t>(bytes), stream.get());
      check_cuda(cudaMemcpyAsync(memory.back().data(), values.data(), bytes, cudaMemcpyHostToDevice,
                                 stream.get()),
                 "cudaMemcpyAsync");
      host_sources.push_back({.data = values.data(), .wide = wide});
      device_sources.push_back({.data = memory.back().data(), .wide = wide});
    }
    const StreamMemory out(static_cast<int64_t>(bytes), stream.get());
    check_cuda(cudaMemsetAsync(out.data(), 0, bytes, stream.get()), "cudaMemsetAsync");
    reduce_on_device(stream.get(), type, op, device_sources, out.data(), wide_output, count);
    auto& expected = host[static_cast<size_t>(inputs)];
    auto& got = host[static_cast<size_t>(inputs) + 1];
    reduce_in_order(type, op, host_sources, expected.data(), wide_output, count);
    check_cuda(cudaMemcpyAsync(got.data(), out.data(), bytes, cudaMemcpyDeviceToHost, stream.get()),
               "cudaMemcpyAsync");
    check_cuda(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
    EXPECT_TRUE(got == expected) << name_of(type) << ' ' << name_of(op) << ", " << inputs
                                 << " inputs of " << count;
  }

 private:
  template <class T>
  static void put(std::byte* data, bool wide, int64_t index, int input) {
    const double value = 1.0 / static_cast<double>(1 + (index * 7 + input * 11) % 997) - 0.1;
    if (wide) {
      reinterpret_cast<float*>(data)[index] = static_cast<float>(value);
    } else if constexpr (std::is_integral_v<T>) {
      reinterpret_cast<T*>(data)[index] = static_cast<T>(value * 1e6);
    } else {
      reinterpret_cast<T*>(data)[index] = T(static_cast<float>(value));
    }
  }
};

TEST_F(ReduceOnDeviceTest, HasTheBitsOfTheHost) {
  contract::for_each_type([&]<class T>(T) {
    for (ReduceOp op : {ReduceOp::sum, ReduceOp::max, ReduceOp::min})
      for (int inputs : {1, 2, 7, 64})
        for (int64_t count : {int64_t{1}, int64_t{1000}, int64_t{300001}})
          for (bool wide : {false, true}) compare<T>(op, inputs, count, wide);
  });
}

}  // namespace
}  // namespace hecate::collectives::nccl
