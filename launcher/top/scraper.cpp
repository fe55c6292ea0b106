#include <httplib.h>

#include <chrono>

#include "launcher/top/address.h"
#include "launcher/top/source.h"
#include "runtime/base/error.h"

namespace hecate::launcher {
namespace {

constexpr time_t kTimeoutSeconds = 2;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string body_of(const std::string& address) {
  const HostPort where = parse_address(address);
  httplib::Client client(where.host, where.port);
  client.set_connection_timeout(kTimeoutSeconds);
  client.set_read_timeout(kTimeoutSeconds);
  const httplib::Result answer = client.Get("/metrics");
  if (!answer)
    throw CommError(concat(address, ": no answer (", httplib::to_string(answer.error()), ")"));
  if (answer->status != 200)
    throw CommError(concat(address, "/metrics: HTTP status ", answer->status, ", expected 200"));
  return answer->body;
}

class Scraper : public TopSource {
 public:
  explicit Scraper(const std::vector<std::string>& addresses) : addresses_(addresses) {}

  std::string name() const override {
    std::string all;
    for (const std::string& address : addresses_) all += (all.empty() ? "" : " ") + address;
    return all;
  }

  std::string poll(monitoring::TopState& state) override {
    std::vector<monitoring::Sample> samples;
    std::string failures;
    size_t failed = 0;
    for (const std::string& address : addresses_) {
      try {
        for (monitoring::Sample& sample : monitoring::parse_exposition(body_of(address)))
          samples.push_back(std::move(sample));
      } catch (const CommError& error) {
        failures += (failed++ == 0 ? "" : "; ") + std::string(error.what());
      }
    }
    if (failed == addresses_.size()) throw CommError(failures);
    take_samples(samples, now_seconds(), state);
    if (failures.empty() && !std::isfinite(state.step)) return "waiting for the first step";
    return failures;
  }

 private:
  std::vector<std::string> addresses_;
};

}  // namespace

std::unique_ptr<TopSource> scrape_exporters(const std::vector<std::string>& addresses) {
  return std::make_unique<Scraper>(addresses);
}

}  // namespace hecate::launcher
