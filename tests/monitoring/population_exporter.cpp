#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include "monitoring/exporter.h"
#include "monitoring/population_metrics.h"
#include "runtime/base/error.h"

/// population_exporter SECONDS: a population of three for that long, one of which is lost half way;
/// prints where it is served.
namespace {

using namespace hecate::monitoring;

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

int run(double seconds) {
  const auto registry = std::make_shared<MetricRegistry>(
      RegistryOptions{.common = {{"run", "population"}}, .warn = nullptr});
  const Exporter exporter(registry, {.address = parse_address("127.0.0.1:0")});
  std::cout << exporter.address().text() << std::endl;
  PopulationMetrics population(*registry);
  const double begin = now();
  for (int64_t step = 1; now() < begin + seconds; ++step) {
    std::vector<MemberState> members;
    for (int member = 0; member < 3; ++member) {
      const bool lost = member == 2 && now() > begin + seconds / 2;
      members.push_back({.name = std::to_string(member),
                         .alive = !lost,
                         .step = step,
                         .score = 1.0 / static_cast<double>(step + member),
                         .last_seen = lost ? begin : now(),
                         .exploits = step / 10,
                         .hyper_parameters = {{"rate", 1e-3 * (member + 1)}}});
    }
    population.write(members);
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::atof(argv[1]) : 10);
  } catch (const hecate::Error& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
