#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <random>

#include "runtime/graph/executor.h"

namespace hecate::graph {
namespace {

Op make_op(std::string name, LaneKind lane, std::vector<BufferId> reads,
           std::vector<BufferId> writes, std::function<void(OpContext&)> run = {}) {
  Op op;
  op.name = std::move(name);
  op.lane = lane;
  op.reads = std::move(reads);
  op.writes = std::move(writes);
  op.run = std::move(run);
  return op;
}

TEST(StepGraph, OrdersConflictsAcrossLanesOnly) {
  StepGraph graph;
  const BufferId a = graph.add_buffer("a", DType::i32, 4), b = graph.add_buffer("b", DType::i32, 4);
  const int32_t write = graph.add(make_op("write", LaneKind::compute, {}, {a}));
  const int32_t send = graph.add(make_op("send", LaneKind::sparse, {a}, {b}));
  const int32_t same = graph.add(make_op("same lane", LaneKind::compute, {a}, {}));
  const int32_t again = graph.add(make_op("overwrite", LaneKind::compute, {}, {a}));
  EXPECT_EQ(graph.ops()[send].depends_on, std::vector<int32_t>{write});
  EXPECT_TRUE(graph.ops()[same].depends_on.empty());
  EXPECT_EQ(graph.ops()[again].depends_on, std::vector<int32_t>{send});  // write after read
}

TEST(StepGraph, RefusesReadingWhatNothingWrote) {
  StepGraph graph;
  const BufferId a = graph.add_buffer("alpha", DType::i32, 4);
  try {
    graph.add(make_op("reader", LaneKind::compute, {a}, {}));
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("reader"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("alpha"), std::string::npos);
  }
}

TEST(MemoryPlan, BuffersShareBytesOnlyIfOneEndsBeforeTheOtherStarts) {
  StepGraph graph;
  const BufferId a = graph.add_buffer("a", DType::f32, 1000);
  const BufferId b = graph.add_buffer("b", DType::f32, 1000);
  const BufferId c = graph.add_buffer("c", DType::f32, 1000);
  graph.add(make_op("make a", LaneKind::compute, {}, {a}));
  graph.add(make_op("a to b", LaneKind::compute, {a}, {b}));
  graph.add(make_op("b to c", LaneKind::compute, {b}, {c}));
  const MemoryPlan plan = plan_memory(graph, {});
  EXPECT_EQ(plan.offset[0], plan.offset[2]);
  EXPECT_NE(plan.offset[0], plan.offset[1]);
  EXPECT_EQ(plan.arena_bytes, 2 * 4032);
  EXPECT_EQ(plan.peak[static_cast<size_t>(MemoryCategory::activations)], 8000);
}

TEST(MemoryPlan, ALaneThatIsNotOrderedKeepsItsBytes) {
  StepGraph graph;
  const BufferId a = graph.add_buffer("a", DType::f32, 16),
                 b = graph.add_buffer("b", DType::f32, 16);
  graph.add(make_op("make a", LaneKind::sparse, {}, {a}));
  graph.add(make_op("make b", LaneKind::compute, {}, {b}));  // nothing orders it after a
  const MemoryPlan plan = plan_memory(graph, {});
  EXPECT_NE(plan.offset[0], plan.offset[1]);
}

class ExecutorTest : public testing::Test {
 protected:
  MemoryLedger ledger_;
  LaneSet lanes_{2};
};

TEST_F(ExecutorTest, RunsAcrossLanesWithPooledRows) {
  StepGraph graph;
  const RowsId rows = graph.add_rows("rows", 3);
  const BufferId plan = graph.add_buffer("plan", DType::i32, 1);
  const BufferId data = graph.add_pooled("data", DType::i32, rows, 2);
  const BufferId sum = graph.add_buffer("sum", DType::i32, 1);
  int64_t wanted = 5, result = 0;
  graph.add(make_op("route", LaneKind::compute, {}, {plan},
                    [&](OpContext& c) { c.set_rows(rows, wanted); }));
  graph.add(make_op("fill", LaneKind::dispatch, {plan}, {data}, [&](OpContext& c) {
    const auto view = c.view<int32_t>(data, {c.rows(rows), 2});
    std::fill_n(view.data(), view.size(), 7);
  }));
  graph.add(make_op("add", LaneKind::compute, {data}, {sum}, [&](OpContext& c) {
    const auto view = c.view<const int32_t>(data, {c.rows(rows), 2});
    result = std::accumulate(view.data(), view.data() + view.size(), int64_t{0});
  }));
  Executor executor(graph, lanes_, ledger_);
  executor.run();
  EXPECT_EQ(result, 70);
  const int64_t growths = executor.pool_growths(), charges = ledger_.charges();
  for (wanted = 5; wanted >= 0; --wanted) {
    executor.run();
    EXPECT_EQ(result, 14 * wanted);
  }
  EXPECT_EQ(executor.pool_growths(), growths);
  EXPECT_EQ(ledger_.charges(), charges);
  wanted = 500;
  executor.run();
  EXPECT_EQ(executor.pool_growths(), growths + 1);
}

TEST_F(ExecutorTest, RandomGraphsNeverMixBuffers) {
  std::mt19937 random(5);
  for (int round = 0; round < 50; ++round) {
    StepGraph graph;
    std::vector<BufferId> written;
    std::atomic<bool> failed = false;  // of ops on all lanes
    for (int i = 0; i < 60; ++i) {
      const int64_t size = 1 + static_cast<int64_t>(random() % 64);
      const BufferId out = graph.add_buffer(concat("b", i), DType::i32, size);
      std::vector<BufferId> reads;
      for (int r = 0; r < 2 && !written.empty(); ++r)
        reads.push_back(
            written[written.size() - 1 - random() % std::min<size_t>(written.size(), 9)]);
      graph.add(make_op("op", static_cast<LaneKind>(random() % kLanes), reads, {out},
                        [=, &failed, &graph](OpContext& c) {
                          for (BufferId id : reads) {
                            const int64_t n = graph.buffer(id).bytes / 4;
                            const auto in = c.view<const int32_t>(id, {n});
                            for (int64_t k = 0; k < n; ++k)
                              if (in.data()[k] != id.index) failed = true;
                          }
                          std::fill_n(c.view<int32_t>(out, {size}).data(), size, out.index);
                        }));
      written.push_back(out);
    }
    Executor executor(graph, lanes_, ledger_);
    executor.run();
    EXPECT_FALSE(failed) << "round " << round;
  }
}

TEST_F(ExecutorTest, AnErrorReachesTheCallerAndTheNextRunWorks) {
  StepGraph graph;
  const RowsId rows = graph.add_rows("rows", 1);
  const BufferId a = graph.add_pooled("a", DType::i32, rows, 1);
  const BufferId b = graph.add_buffer("b", DType::i32, 1);
  bool fail = true, ran = false;
  graph.add(make_op("bad", LaneKind::compute, {}, {a}, [&](OpContext&) {
    if (fail) throw NumericError("not finite");
  }));
  graph.add(make_op("after", LaneKind::sparse, {a}, {b}, [&](OpContext&) { ran = true; }));
  Executor executor(graph, lanes_, ledger_);
  EXPECT_THROW(executor.run(), NumericError);
  EXPECT_FALSE(ran);
  fail = false;
  executor.run();
  EXPECT_TRUE(ran);
}

TEST_F(ExecutorTest, UnboundExternalBuffersAreNamed) {
  StepGraph graph;
  const BufferId tokens = graph.add_external("tokens", DType::i32, 4, MemoryCategory::buffers);
  const BufferId out = graph.add_buffer("out", DType::i32, 1);
  graph.add(make_op("embed", LaneKind::compute, {tokens}, {out}));
  Executor executor(graph, lanes_, ledger_);
  try {
    executor.run();
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("tokens"), std::string::npos);
  }
}

TEST_F(ExecutorTest, WrongViewsAreRefused) {
  StepGraph graph;
  const BufferId out = graph.add_buffer("out", DType::f32, 4);
  graph.add(make_op("too large", LaneKind::compute, {}, {out},
                    [&](OpContext& c) { c.view<float>(out, {5}); }));
  Executor executor(graph, lanes_, ledger_);
  EXPECT_THROW(executor.run(), InvalidArgument);
}

TEST_F(ExecutorTest, MicroBatchOperationsRunWhereTheyBelong) {
  StepGraph graph;
  const BufferId a = graph.add_buffer("a", DType::i32, 1);
  std::string log;
  const auto add = [&](char mark, When when) {
    Op op = make_op(std::string(1, mark), LaneKind::compute, {}, {a},
                    [&log, mark](OpContext&) { log += mark; });
    op.when = when;
    graph.add(std::move(op));
  };
  add('f', When::first_micro_batch);
  add('a', When::always);
  add('l', When::last_micro_batch);
  Executor executor(graph, lanes_, ledger_);
  executor.run(true, false);
  executor.run(false, false);
  executor.run(false, true);
  EXPECT_EQ(log, "faaal");
}

TEST_F(ExecutorTest, PacedComputeLastsAsLongAsItsFlops) {
  StepGraph graph;
  const BufferId a = graph.add_buffer("a", DType::i32, 1);
  Op op = make_op("work", LaneKind::compute, {}, {a});
  op.cost.flops = 5e7;
  graph.add(std::move(op));
  Executor executor(graph, lanes_, ledger_, {.pace_flops_per_s = 1e9});
  executor.run();
  const double seconds =
      1e-9 * static_cast<double>(executor.timings()[0].end - executor.timings()[0].begin);
  EXPECT_GE(seconds, 0.05);
  EXPECT_LT(seconds, 0.2);
}

}  // namespace
}  // namespace hecate::graph
