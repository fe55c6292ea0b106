#include "launcher/launch/host_file.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#include "runtime/base/error.h"

namespace hecate::launch {
namespace {

constexpr std::string_view kSlots = "slots=";

// A name, an address of either kind, or user@name; never what mpirun would take for two hosts.
bool is_name(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ':' || c == '@';
  });
}

int64_t parse_slots(std::string_view word, const std::string& place) {
  int64_t slots = 0;
  const std::string_view number = word.substr(std::min(word.size(), kSlots.size()));
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), slots);
  HECATE_CHECK(word.starts_with(kSlots) && error == std::errc{} &&
                   end == number.data() + number.size() && slots >= 1,
               place, ": expected NAME [slots=N] with N at least 1, got '", word, "'");
  return slots;
}

void add(std::vector<Host>& hosts, Host host) {
  const auto known = std::find_if(hosts.begin(), hosts.end(),
                                  [&](const Host& each) { return each.name == host.name; });
  if (known == hosts.end())
    hosts.push_back(std::move(host));
  else
    known->slots += host.slots;
}

}  // namespace

std::vector<Host> parse_hosts(std::string_view text, const std::string& source) {
  std::vector<Host> hosts;
  std::istringstream lines{std::string(text)};
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::string place = concat(source, ":", ++number);
    std::istringstream words(line.substr(0, line.find('#')));
    Host host;
    if (!(words >> host.name)) continue;
    HECATE_CHECK(is_name(host.name), place, ": '", host.name, "' is no host name");
    for (std::string word; words >> word;) host.slots = parse_slots(word, place);
    add(hosts, std::move(host));
  }
  HECATE_CHECK(!hosts.empty(), source, ": names no host; expected lines like 'node1 slots=8'");
  return hosts;
}

int64_t total_slots(const std::vector<Host>& hosts) {
  int64_t slots = 0;
  for (const Host& host : hosts) slots += host.slots;
  return slots;
}

std::vector<int64_t> fill(const std::vector<Host>& hosts, int64_t ranks) {
  std::vector<int64_t> on(hosts.size(), 0);
  for (size_t i = 0; i < hosts.size(); ++i) {
    on[i] = std::min(ranks, hosts[i].slots);
    ranks -= on[i];
  }
  for (size_t i = 0; ranks > 0; i = (i + 1) % hosts.size(), --ranks) ++on[i];
  return on;
}

}  // namespace hecate::launch
