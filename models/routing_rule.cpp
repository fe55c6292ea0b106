#include "models/routing_rule.h"

#include <array>
#include <charconv>
#include <cmath>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/base/nearest_name.h"

namespace hecate::models {
namespace {

double parse_exponent(const std::string& text, const std::string& rule) {
  double exponent = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), exponent);
  HECATE_CHECK(error == std::errc{} && end == text.data() + text.size() && exponent >= 0 &&
                   std::isfinite(exponent),
               "router.source = '", rule, "': expected zipf:S with a number S >= 0");
  return exponent;
}

}  // namespace

RoutingRule parse_routing_rule(const std::string& text) {
  using Kind = RoutingRule::Kind;
  const size_t colon = text.find(':');
  const std::string word = text.substr(0, colon);
  const std::string rest = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (text == "learned") return {};
  if (text == "even") return {.kind = Kind::even, .exponent = 0, .file = {}};
  if (word == "zipf")
    return {.kind = Kind::zipf, .exponent = parse_exponent(rest, text), .file = {}};
  if (word == "replay" && !rest.empty()) return {.kind = Kind::replay, .exponent = 0, .file = rest};
  const std::vector<std::string> words = {"learned", "even", "zipf", "replay"};
  const std::array<const char*, 4> forms = {"learned", "even", "zipf:S", "replay:FILE"};
  std::string nearest = nearest_name(word, words);
  for (size_t i = 0; i < words.size(); ++i)
    if (nearest == words[i]) nearest = forms[i];
  throw InvalidArgument(concat("router.source = '", text,
                               "': expected learned, even, zipf:S or replay:FILE",
                               nearest.empty() ? "" : concat("; nearest: ", nearest)));
}

}  // namespace hecate::models
