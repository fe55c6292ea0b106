#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/base/config_fields.h"
#include "runtime/base/error.h"
#include "tests/runtime/io/scratch.h"

/// A configuration with one key of every type, and what its tests share.
namespace hecate::config::test {

struct Source {
  std::string path;
  double weight = 1;
  bool operator==(const Source&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("path", self.path, "where it is", any());
    visit("weight", self.weight, "its share", at_least(0));
  }
  void validate() const { HECATE_CHECK(weight != 13, "sources: weight 13 brings bad luck"); }
};

struct Engine {
  std::string kind = "cpu";
  double pace = 0.25;
  int64_t threads = 2;
  bool operator==(const Engine&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("kind", self.kind, "what computes", one_of({"cpu", "paced"}));
    visit("pace", self.pace, "speed", between(0, 1e3));
    visit("threads", self.threads, "workers", between(1, 64));
  }
  void validate() const {
    HECATE_CHECK(kind != "paced" || pace > 0, "engine.kind = paced needs engine.pace above 0");
  }
};

struct Loop {
  int64_t steps = 10;
  bool fast = false;
  std::string length = "10%";
  std::vector<int64_t> sizes = {1, 2};
  std::vector<double> factors;
  std::vector<std::string> names = {"a"};
  bool operator==(const Loop&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("steps", self.steps, "how many", at_least(1));
    visit("fast", self.fast, "hurry", any());
    visit("length", self.length, "steps or a share", any());
    visit("sizes", self.sizes, "whole numbers", between(0, 9));
    visit("factors", self.factors, "numbers", any());
    visit("names", self.names, "words", any());
  }
};

struct Sample {
  int64_t seed = 0;
  Engine engine;
  Loop loop;
  std::vector<Source> sources;
  bool operator==(const Sample&) const = default;
  template <class Self, class Visitor>
  static void fields(Self& self, Visitor&& visit) {
    visit("seed", self.seed, "of everything", any());
    visit("engine", self.engine, "the device");
    visit("loop", self.loop, "the loop");
    visit("sources", self.sources, "what is read");
  }
  void validate() const {
    HECATE_CHECK(seed != 13, "a seed of 13 frightens the loop");
    HECATE_CHECK(loop.steps >= engine.threads, "the seed aside, loop.steps = ", loop.steps,
                 " is below engine.threads = ", engine.threads);
  }
};

/// The message of the InvalidArgument that `call` throws; "(nothing thrown)" otherwise.
template <class Call>
std::string error_of(Call&& call) {
  return testing::message_of<InvalidArgument>(call);
}

}  // namespace hecate::config::test
