#pragma once
#include <vector>

namespace hecate::testing {

/// Choices (an index per axis) such that every pair of values of two axes occurs in one of them;
/// the same at every call. Greedy: not the fewest, but near them.
/// @param sizes values per axis, at least 1 each.
std::vector<std::vector<int>> pairwise(const std::vector<int>& sizes);
/// Every combination, last axis fastest.
std::vector<std::vector<int>> full_product(const std::vector<int>& sizes);

}  // namespace hecate::testing
