#include "sharding/balanced/level.h"

#include <algorithm>

namespace hecate::sharding::balanced {
namespace {

size_t at(int i) {
  return static_cast<size_t>(i);
}

}  // namespace

int64_t Leveller::level(const Places& places, std::span<int64_t> rows, std::span<int64_t> load,
                        int64_t floor) {
  places_ = places;
  rows_ = rows;
  load_ = load;
  level_ = floor;
  tight_.clear();
  if (*std::ranges::max_element(load) <= floor) return floor;
  index_bins();
  while (true) {
    const bool way = search();
    if (sources_ == 0) return level_;
    if (!way) {
      level_ = raised_level();
      tight_.assign(queue_.begin(), queue_.end());
      continue;
    }
    std::copy(bin_first_.begin(), bin_first_.end() - 1, bin_next_.begin());
    std::copy(places_.first.begin(), places_.first.end() - 1, item_next_.begin());
    for (size_t i = 0; i < sources_; ++i) {
      const int bin = queue_[i];
      load_[at(bin)] -= push_from_bin(bin, load_[at(bin)] - level_, true);
    }
  }
}

void Leveller::index_bins() {
  const size_t items = places_.first.size() - 1;
  item_of_.assign(places_.bin.size(), -1);
  bin_first_.assign(at(places_.bins) + 1, 0);
  for (size_t i = 0; i < items; ++i) {
    if (places_.first[i + 1] - places_.first[i] < 2) continue;
    for (int p = places_.first[i]; p < places_.first[i + 1]; ++p) {
      item_of_[at(p)] = static_cast<int>(i);
      ++bin_first_[at(places_.bin[at(p)]) + 1];
    }
  }
  for (size_t b = 0; b < at(places_.bins); ++b) bin_first_[b + 1] += bin_first_[b];
  bin_place_.resize(at(bin_first_.back()));
  bin_next_.assign(bin_first_.begin(), bin_first_.end() - 1);
  for (size_t p = 0; p < item_of_.size(); ++p)
    if (item_of_[p] >= 0) bin_place_[at(bin_next_[at(places_.bin[p])]++)] = static_cast<int>(p);
  bin_depth_.resize(at(places_.bins));
  item_depth_.resize(items);
  item_next_.resize(items);
}

// Breadth first from the bins above the level; whether it meets one below.
bool Leveller::search() {
  std::ranges::fill(bin_depth_, -1);
  std::ranges::fill(item_depth_, -1);
  queue_.clear();
  for (int b = 0; b < places_.bins; ++b)
    if (load_[at(b)] > level_) {
      bin_depth_[at(b)] = 0;
      queue_.push_back(b);
    }
  sources_ = queue_.size();
  bool found = false;
  for (size_t i = 0; i < queue_.size(); ++i) {
    const int bin = queue_[i], depth = bin_depth_[at(bin)];
    for (int k = bin_first_[at(bin)]; k < bin_first_[at(bin) + 1]; ++k) {
      const int place = bin_place_[at(k)], item = item_of_[at(place)];
      if (rows_[at(place)] == 0 || item_depth_[at(item)] >= 0) continue;
      item_depth_[at(item)] = depth + 1;
      for (int q = places_.first[at(item)]; q < places_.first[at(item) + 1]; ++q) {
        const int other = places_.bin[at(q)];
        if (bin_depth_[at(other)] >= 0) continue;
        bin_depth_[at(other)] = depth + 2;
        queue_.push_back(other);
        found = found || load_[at(other)] < level_;
      }
    }
  }
  return found;
}

// Of `amount` rows that come to the bin (or, `first`, are too many in it): how many find a place.
int64_t Leveller::push_from_bin(int bin, int64_t amount, bool first) {
  int64_t placed = 0;
  if (!first && load_[at(bin)] < level_) {
    placed = std::min(amount, level_ - load_[at(bin)]);
    load_[at(bin)] += placed;
  }
  for (int& k = bin_next_[at(bin)]; placed < amount && k < bin_first_[at(bin) + 1]; ++k) {
    const int place = bin_place_[at(k)], item = item_of_[at(place)];
    if (rows_[at(place)] == 0 || item_depth_[at(item)] != bin_depth_[at(bin)] + 1) continue;
    const int64_t moved = push_from_item(item, std::min(amount - placed, rows_[at(place)]));
    rows_[at(place)] -= moved;
    placed += moved;
    if (placed == amount) break;
  }
  return placed;
}

int64_t Leveller::push_from_item(int item, int64_t amount) {
  int64_t placed = 0;
  for (int& q = item_next_[at(item)]; q < places_.first[at(item) + 1]; ++q) {
    const int bin = places_.bin[at(q)];
    if (bin_depth_[at(bin)] != item_depth_[at(item)] + 1) continue;
    const int64_t moved = push_from_bin(bin, amount - placed, false);
    rows_[at(q)] += moved;
    placed += moved;
    if (placed == amount) break;
  }
  return placed;
}

int64_t Leveller::raised_level() {
  int64_t sum = 0;
  for (int bin : queue_) sum += load_[at(bin)];
  const auto among = static_cast<int64_t>(queue_.size());
  return (sum + among - 1) / among;
}

}  // namespace hecate::sharding::balanced
