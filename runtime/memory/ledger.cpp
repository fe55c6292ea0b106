#include "runtime/memory/ledger.h"

#include <cstring>
#include <numeric>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/memory/aligned.h"
#include "runtime/memory/managed.h"

namespace hecate {
namespace {

void raise(std::atomic<int64_t>& peak, int64_t value) {
  int64_t seen = peak.load(std::memory_order_relaxed);
  while (seen < value && !peak.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

}  // namespace

std::string_view name_of(MemoryCategory category) {
  constexpr std::array<std::string_view, kMemoryCategories> kNames = {
      "parameters",  "gradients", "optimizer",   "materialized",
      "activations", "buffers",   "communicator"};
  return kNames[static_cast<size_t>(category)];
}

int64_t total(const MemoryBytes& bytes) {
  return std::accumulate(bytes.begin(), bytes.end(), int64_t{0});
}

void MemoryLedger::charge(MemoryCategory category, int64_t bytes) {
  const auto index = static_cast<size_t>(category);
  const int64_t sum = total_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (budget_ > 0 && sum > budget_) {
    total_.fetch_sub(bytes, std::memory_order_relaxed);
    throw DeviceError(concat("memory budget passed: ", bytes, " bytes of ", name_of(category),
                             " asked for, ", sum - bytes, " held, budget ", budget_, ", missing ",
                             sum - budget_));
  }
  raise(peak_total_, sum);
  raise(peak_[index], current_[index].fetch_add(bytes, std::memory_order_relaxed) + bytes);
  charges_.fetch_add(1, std::memory_order_relaxed);
}

void MemoryLedger::release(MemoryCategory category, int64_t bytes) noexcept {
  current_[static_cast<size_t>(category)].fetch_sub(bytes, std::memory_order_relaxed);
  total_.fetch_sub(bytes, std::memory_order_relaxed);
}

MemoryBytes MemoryLedger::current() const {
  MemoryBytes bytes{};
  for (size_t i = 0; i < kMemoryCategories; ++i)
    bytes[i] = current_[i].load(std::memory_order_relaxed);
  return bytes;
}

MemoryBytes MemoryLedger::peak() const {
  MemoryBytes bytes{};
  for (size_t i = 0; i < kMemoryCategories; ++i)
    bytes[i] = peak_[i].load(std::memory_order_relaxed);
  return bytes;
}

namespace {

std::byte* allocate(const MemoryLedger& ledger, size_t bytes) {
  if (ledger.dry()) return reserve_addresses(bytes);
  return ledger.device() == DeviceKind::cuda ? cuda::allocate_managed(bytes)
                                             : aligned_allocate(bytes);
}

void release(const MemoryLedger& ledger, std::byte* block, size_t bytes) noexcept {
  if (ledger.dry()) return release_addresses(block, bytes);
  ledger.device() == DeviceKind::cuda ? cuda::release_managed(block) : aligned_release(block);
}

}  // namespace

MemoryBlock::MemoryBlock(MemoryLedger& ledger, MemoryCategory category, int64_t bytes)
    : category_(category) {
  ledger.charge(category, bytes);
  try {
    data_ = allocate(ledger, static_cast<size_t>(bytes));
  } catch (...) {
    ledger.release(category, bytes);
    throw;
  }
  ledger_ = &ledger;
  bytes_ = bytes;
}

void MemoryBlock::clear() {
  if (ledger_ != nullptr && !ledger_->dry() && bytes_ > 0)
    std::memset(data_, 0, static_cast<size_t>(bytes_));
}

MemoryBlock::~MemoryBlock() {
  reset();
}

MemoryBlock::MemoryBlock(MemoryBlock&& other) noexcept {
  *this = std::move(other);
}

MemoryBlock& MemoryBlock::operator=(MemoryBlock&& other) noexcept {
  if (this == &other) return *this;
  reset();
  ledger_ = std::exchange(other.ledger_, nullptr);
  data_ = std::exchange(other.data_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  category_ = other.category_;
  return *this;
}

void MemoryBlock::reset() noexcept {
  if (ledger_ == nullptr) return;
  ledger_->release(category_, bytes_);
  release(*ledger_, data_, static_cast<size_t>(bytes_));
  ledger_ = nullptr;
  data_ = nullptr;
  bytes_ = 0;
}

}  // namespace hecate
