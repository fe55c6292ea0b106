#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "monitoring/gpu_reader.h"
#include "monitoring/gpu_sampler.h"
#include "monitoring/metric_registry.h"
#include "runtime/base/error.h"

namespace hecate::monitoring {
namespace {

TEST(GpuReaderTest, ReadsThoseThatAnswer) {
  const auto reader = GpuReader::open(HECATE_FAKE_NVML);
  ASSERT_NE(reader, nullptr);
  const std::vector<GpuSample> samples = reader->read();
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].index, 0);
  EXPECT_EQ(samples[0].utilization, 0.75);
  EXPECT_EQ(samples[0].memory_used_bytes, 400);
  EXPECT_EQ(samples[0].memory_total_bytes, 1000);
}

TEST(GpuReaderTest, NothingIsReadWhereThereIsNoLibrary) {
  EXPECT_EQ(GpuReader::open("/nowhere/libnvidia-ml.so.1"), nullptr);
  EXPECT_EQ(GpuReader::open("libc.so.6"), nullptr);
  MetricRegistry registry;
  const GpuSampler none(registry, nullptr);
}

TEST(GpuSamplerTest, WritesToTheSink) {
  MetricRegistry registry;
  const GpuSampler sampler(registry, GpuReader::open(HECATE_FAKE_NVML), 0.01);
  std::vector<std::string> names;
  for (int i = 0; i < 500 && names.size() < 5; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    registry.publish();
    names.clear();
    const MetricRegistry::Snapshot snapshot = registry.read();
    for (const auto& family : snapshot.families())
      names.push_back(concat(family.name, ' ', family.samples.front().value));
  }
  EXPECT_THAT(names, testing::IsSupersetOf({std::string("hecate_gpu_utilization_ratio 0.75"),
                                            std::string("hecate_gpu_memory_used_bytes 400"),
                                            std::string("hecate_gpu_memory_size_bytes 1000")}));
}

}  // namespace
}  // namespace hecate::monitoring
