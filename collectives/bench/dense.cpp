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

struct Times {
  std::vector<double> ours, library;
};

// Ours and the library's call in turn.
Times time_case(const Context& context, const DenseCase& test, int64_t elements, int64_t count) {
  const Communicator& world = context.world;
  const std::vector<float> in(static_cast<size_t>(elements), static_cast<float>(world.rank() + 1));
  std::vector<float> out(static_cast<size_t>(elements) + 1);
  const auto prepare = [&] {
    if (test.call == Dense::broadcast) out.assign(out.size(), world.rank() == 0 ? 1.0f : 0.0f);
  };
  Times times;
  const bool small = elements * 4 < (16 << 20);
  const int repetitions = context.options.repetitions * (small ? 3 : 1);
  for (int i = 0; i <= repetitions; ++i) {
    prepare();
    const double ours =
        time_once(world, [&] { start(world, test.call, in.data(), out.data(), count).wait(); });
    verify(correct(world, test.call, out, count), test.name);
    double library = 0;
    if (context.native) {
      prepare();
      world.barrier().wait();
      library = slowest(world, context.native(test.call, in.data(), out.data(), count));
    }
    if (i == 0) continue;  // warms up
    times.ours.push_back(ours);
    times.library.push_back(library);
  }
  return times;
}

void run_case(const Context& context, const DenseCase& test, int64_t bytes) {
  const int n = context.world.size();
  const int64_t elements = bytes / 4;
  const Times times = time_case(context, test, elements, test.divided ? elements / n : elements);
  const double seconds = median(times.ours), library = median(times.library);
  const double algorithm = static_cast<double>(bytes) / seconds * 1e-9;
  const double factor = test.bus > 0 ? test.bus * (n - 1) / n : 1;
  Record record("dense", test.name);
  record.add("bytes", static_cast<double>(bytes))
      .add("ms", seconds * 1e3)
      .add("algorithm_gb_per_s", algorithm)
      .add("bus_gb_per_s", algorithm * factor);
  if (context.native)
    record.add("library_ms", library * 1e3)
        .add("library_bus_gb_per_s", static_cast<double>(bytes) / library * 1e-9 * factor)
        .add("ratio", seconds / library)
        .add("extra_us", (seconds - library) * 1e6);
  context.report(std::move(record));
}

}  // namespace

void run_dense(const Context& context) {
  for (const DenseCase& test : kCases)
    for (int64_t bytes : context.options.sizes) run_case(context, test, bytes);
}

}  // namespace hecate::collectives::bench
