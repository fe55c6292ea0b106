#include <array>

#include "collectives/bench/context.h"

namespace hecate::collectives::bench {
namespace {

struct DenseCase {
  Dense call;
  const char* name;
  bool divided;  // the size is split over the ranks
  double bus;    // factor from algorithm to bus bandwidth, for many ranks
};

constexpr std::array<DenseCase, 5> kCases = {{{Dense::all_reduce, "all_reduce", false, 2},
                                              {Dense::all_gather, "all_gather", true, 1},
                                              {Dense::reduce_scatter, "reduce_scatter", true, 1},
                                              {Dense::broadcast, "broadcast", false, 0},
                                              {Dense::all_to_all, "all_to_all", true, 1}}};

Work start(const Communicator& world, Dense call, const float* in, float* out, int64_t count) {
  switch (call) {
    case Dense::all_reduce:
      return world.all_reduce(in, out, count, DType::f32, ReduceOp::sum);
    case Dense::all_gather:
      return world.all_gather(in, out, count, DType::f32);
    case Dense::reduce_scatter:
      return world.reduce_scatter(in, out, count, DType::f32, ReduceOp::sum);
    case Dense::broadcast:
      return world.broadcast(out, count, DType::f32, 0);
    case Dense::all_to_all:
      return world.all_to_all(in, out, count, DType::f32);
  }
  return {};
}

// Every rank gives in its number plus one everywhere.
bool correct(const Communicator& world, Dense call, const std::vector<float>& out, int64_t count) {
  const int n = world.size();
  const int sum_of_ranks = n * (n + 1) / 2;
  const auto sum = static_cast<float>(sum_of_ranks);
  const auto is = [&](int64_t at, float expected) {
    return out[static_cast<size_t>(at)] == expected;
  };
  switch (call) {
    case Dense::all_reduce:
    case Dense::reduce_scatter:
      return is(0, sum) && is(count / 2, sum) && is(count - 1, sum);
    case Dense::broadcast:
      return is(0, 1) && is(count - 1, 1);
    case Dense::all_gather:
    case Dense::all_to_all:
      for (int r = 0; r < n; ++r)
        if (!is(r * count, static_cast<float>(r + 1)) ||
            !is((r + 1) * count - 1, static_cast<float>(r + 1)))
          return false;
      return true;
  }
  return false;
}

void run_case(const Context& context, const DenseCase& test, int64_t bytes) {
  const Communicator& world = context.world;
  const int n = world.size();
  const int64_t elements = bytes / 4;
  const int64_t count = test.divided ? elements / n : elements;
  const std::vector<float> in(static_cast<size_t>(elements), static_cast<float>(world.rank() + 1));
  std::vector<float> out(static_cast<size_t>(elements) + 1);
  const auto prepare = [&] {
    if (test.call == Dense::broadcast) out.assign(out.size(), world.rank() == 0 ? 1.0f : 0.0f);
  };
  std::vector<double> ours, theirs;
  const int repetitions =
      bytes >= (16 << 20) ? context.options.repetitions : 3 * context.options.repetitions;
  for (int i = 0; i <= repetitions; ++i) {
    prepare();
    world.barrier().wait();
    const double begin = now();
    start(world, test.call, in.data(), out.data(), count).wait();
    ours.push_back(slowest(world, now() - begin));
    verify(correct(world, test.call, out, count), test.name);
    if (!context.native) continue;
    prepare();
    world.barrier().wait();
    theirs.push_back(slowest(world, context.native(test.call, in.data(), out.data(), count)));
  }
  ours.erase(ours.begin());
  if (!theirs.empty()) theirs.erase(theirs.begin());
  const double seconds = median(ours), native = median(theirs);
  const double algorithm = static_cast<double>(bytes) / seconds * 1e-9;
  const double factor = test.bus > 0 ? test.bus * (n - 1) / n : 1;
  Figure figure("dense", test.name);
  figure.add("bytes", static_cast<double>(bytes))
      .add("ms", seconds * 1e3)
      .add("algorithm_gb_per_s", algorithm)
      .add("bus_gb_per_s", algorithm * factor);
  if (context.native)
    figure.add("library_ms", native * 1e3)
        .add("ratio", seconds / native)
        .add("extra_us", (seconds - native) * 1e6);
  figure.report(context);
}

}  // namespace

void run_dense(const Context& context) {
  for (const DenseCase& test : kCases)
    for (int64_t bytes : context.options.sizes) run_case(context, test, bytes);
}

}  // namespace hecate::collectives::bench
