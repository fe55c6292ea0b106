#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/memory/aligned.h"
#include "runtime/memory/block_pool.h"
#include "runtime/memory/ledger.h"

namespace hecate {
namespace {

int64_t of(const MemoryBytes& bytes, MemoryCategory category) {
  return bytes[static_cast<size_t>(category)];
}

TEST(MemoryLedger, KeepsCurrentAndPeakByCategory) {
  MemoryLedger ledger;
  {
    const MemoryBlock a(ledger, MemoryCategory::parameters, 1000);
    const MemoryBlock b(ledger, MemoryCategory::activations, 500);
    EXPECT_EQ(of(ledger.current(), MemoryCategory::parameters), 1000);
  }
  const MemoryBlock c(ledger, MemoryCategory::activations, 200);
  EXPECT_EQ(of(ledger.current(), MemoryCategory::parameters), 0);
  EXPECT_EQ(of(ledger.current(), MemoryCategory::activations), 200);
  EXPECT_EQ(of(ledger.peak(), MemoryCategory::activations), 500);
  EXPECT_EQ(ledger.peak_total(), 1500);
  EXPECT_EQ(ledger.charges(), 3);
}

TEST(MemoryLedger, RefusesWhatPassesTheBudgetAndNamesIt) {
  MemoryLedger ledger(1000);
  const MemoryBlock a(ledger, MemoryCategory::parameters, 800);
  try {
    const MemoryBlock b(ledger, MemoryCategory::gradients, 300);
    FAIL() << "the budget was passed";
  } catch (const DeviceError& error) {
    EXPECT_NE(std::string(error.what()).find("300 bytes of gradients"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("missing 100"), std::string::npos);
  }
  EXPECT_EQ(total(ledger.current()), 800);
}

TEST(MemoryBlock, IsAlignedAndMovable) {
  MemoryLedger ledger;
  MemoryBlock a(ledger, MemoryCategory::buffers, 10);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data()) % kAlignment, 0u);
  MemoryBlock b = std::move(a);
  EXPECT_EQ(a.data(), nullptr);  // NOLINT: the moved-from state is the contract
  EXPECT_EQ(total(ledger.current()), 10);
  b = MemoryBlock();
  EXPECT_EQ(total(ledger.current()), 0);
}

TEST(BlockPool, ReusesBlocksAndCountsGrowth) {
  MemoryLedger ledger;
  BlockPool pool(ledger, MemoryCategory::activations);
  std::byte* first = pool.acquire(1000);
  pool.release(first);
  EXPECT_EQ(pool.acquire(900), first);
  EXPECT_EQ(pool.growths(), 1);
  std::byte* second = pool.acquire(900);
  EXPECT_NE(second, first);
  EXPECT_EQ(pool.growths(), 2);
  pool.release(first);
  pool.release(second);
  EXPECT_THROW(pool.release(first), InvalidArgument);
}

TEST(BlockPool, ReplacesASmallFreeBlockByALargerOne) {
  MemoryLedger ledger;
  BlockPool pool(ledger, MemoryCategory::activations);
  pool.release(pool.acquire(1000));
  pool.release(pool.acquire(5000));
  EXPECT_EQ(pool.growths(), 2);
  EXPECT_LT(pool.held_bytes(), 6000);
  pool.release(pool.acquire(1000));
  EXPECT_EQ(pool.growths(), 2);
}

TEST(BlockPool, ZeroBytesAreAValidBlock) {
  MemoryLedger ledger;
  BlockPool pool(ledger, MemoryCategory::activations);
  std::byte* block = pool.acquire(0);
  EXPECT_NE(block, nullptr);
  pool.release(block);
}

TEST(BlockPool, ServesThreads) {
  MemoryLedger ledger;
  BlockPool pool(ledger, MemoryCategory::activations);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&pool, t] {
      for (int i = 0; i < 200; ++i) {
        std::byte* block = pool.acquire(64 * (t + 1));
        block[0] = std::byte(t);
        EXPECT_EQ(block[0], std::byte(t));
        pool.release(block);
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(pool.growths(), 16);
}

}  // namespace
}  // namespace hecate
