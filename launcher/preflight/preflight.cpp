#include "launcher/preflight/preflight.h"

#include <algorithm>
#include <array>

#include "launcher/preflight/identity.h"
#include "runtime/base/error.h"
#include "runtime/io/checksum.h"

namespace hecate::launcher {
namespace {

using collectives::Communicator;

// Texts are gathered only where they differ: a digest says so first.
bool same_everywhere(const Communicator& comm, const std::string& text) {
  const std::array<int64_t, 2> own = {
      static_cast<int64_t>(io::crc32c(std::as_bytes(std::span(text)))), std::ssize(text)};
  std::vector<int64_t> all(own.size() * static_cast<size_t>(comm.size()));
  comm.all_gather(own.data(), all.data(), std::ssize(own), DType::i64).wait();
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i] != all[i % own.size()]) return false;
  return true;
}

std::vector<std::string> gather(const Communicator& comm, const std::string& text) {
  const int64_t own = std::ssize(text);
  std::vector<int64_t> sizes(static_cast<size_t>(comm.size()));
  comm.all_gather(&own, sizes.data(), 1, DType::i64).wait();
  int64_t total = 0;
  for (const int64_t size : sizes) total += size;
  std::string all(static_cast<size_t>(total), '\0');
  comm.all_gather_v(text.data(), all.data(), sizes, DType::u8).wait();
  std::vector<std::string> texts;
  for (size_t at = 0; const int64_t size : sizes) {
    texts.push_back(all.substr(at, static_cast<size_t>(size)));
    at += static_cast<size_t>(size);
  }
  return texts;
}

}  // namespace

void check_same_start(const Communicator& comm, const std::string& config,
                      const std::string& build) {
  if (!same_everywhere(comm, build)) {
    const std::string difference = build_difference(gather(comm, build));
    HECATE_CHECK(difference.empty(), "ranks run different builds: ", difference);
  }
  if (!same_everywhere(comm, config)) {
    const std::string difference = config_difference(gather(comm, config));
    HECATE_CHECK(difference.empty(),
                 "ranks were started with different configurations: ", difference);
  }
}

}  // namespace hecate::launcher
