#include "tests/launcher/train/pairwise.h"

#include <array>
#include <cstddef>
#include <set>

namespace hecate::testing {
namespace {

using std::size_t;

using Pair = std::array<int, 4>;  // axis, value, later axis, value

std::set<Pair> all_pairs(const std::vector<int>& sizes) {
  std::set<Pair> pairs;
  const int axes = static_cast<int>(sizes.size());
  for (int a = 0; a < axes; ++a)
    for (int b = a + 1; b < axes; ++b)
      for (int i = 0; i < sizes[static_cast<size_t>(a)]; ++i)
        for (int j = 0; j < sizes[static_cast<size_t>(b)]; ++j) pairs.insert({a, i, b, j});
  return pairs;
}

Pair pair_of(int a, int i, int b, int j) {
  return a < b ? Pair{a, i, b, j} : Pair{b, j, a, i};
}

// Pairs with the values chosen so far that nothing has covered yet.
int gain(const std::set<Pair>& open, const std::vector<int>& choice, int axis, int value) {
  int found = 0;
  for (int other = 0; other < static_cast<int>(choice.size()); ++other)
    if (other != axis && choice[static_cast<size_t>(other)] >= 0)
      found += static_cast<int>(
          open.count(pair_of(axis, value, other, choice[static_cast<size_t>(other)])));
  return found;
}

// Starts from an open pair and gives every other axis the value that covers most.
std::vector<int> extend(const std::set<Pair>& open, const std::vector<int>& sizes) {
  std::vector<int> choice(sizes.size(), -1);
  const Pair first = *open.begin();
  choice[static_cast<size_t>(first[0])] = first[1];
  choice[static_cast<size_t>(first[2])] = first[3];
  for (size_t axis = 0; axis < sizes.size(); ++axis) {
    if (choice[axis] >= 0) continue;
    int best = -1;
    for (int value = 0; value < sizes[axis]; ++value)
      if (const int found = gain(open, choice, static_cast<int>(axis), value); found > best) {
        best = found;
        choice[axis] = value;
      }
  }
  return choice;
}

}  // namespace

std::vector<std::vector<int>> pairwise(const std::vector<int>& sizes) {
  std::set<Pair> open = all_pairs(sizes);
  std::vector<std::vector<int>> choices;
  while (!open.empty()) {
    const std::vector<int> choice = extend(open, sizes);
    for (int a = 0; a < static_cast<int>(sizes.size()); ++a)
      for (int b = a + 1; b < static_cast<int>(sizes.size()); ++b)
        open.erase(Pair{a, choice[static_cast<size_t>(a)], b, choice[static_cast<size_t>(b)]});
    choices.push_back(choice);
  }
  return choices;
}

std::vector<std::vector<int>> full_product(const std::vector<int>& sizes) {
  std::vector<std::vector<int>> choices = {{}};
  for (const int size : sizes) {
    std::vector<std::vector<int>> longer;
    for (const std::vector<int>& each : choices)
      for (int value = 0; value < size; ++value) {
        longer.push_back(each);
        longer.back().push_back(value);
      }
    choices = std::move(longer);
  }
  return choices;
}

}  // namespace hecate::testing
