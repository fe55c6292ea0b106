#include <algorithm>

#include "runtime/device/stream.h"
#include "runtime/kernels/cpu/blas.h"
#include "runtime/kernels/cuda/kernels.h"
#include "runtime/kernels/gemm.h"

namespace hecate::kernels {
namespace {

constexpr int64_t kLeast = 128;    // rows or columns below which packing costs too much
constexpr int64_t kGrain = 16;     // block borders are multiples of a vector
constexpr int64_t kPerThread = 4;  // tasks that a thread gets when loads are even

// One of `parts` blocks of an expert's rows (of its output rows for the weight gradient).
struct Task {
  int64_t expert, part, parts, rows;
};

struct Range {
  int64_t begin, count;
};
Range part_of(int64_t size, const Task& task) {
  const int64_t grains = (size + kGrain - 1) / kGrain;
  const int64_t begin = std::min(size, grains * task.part / task.parts * kGrain);
  return {begin, std::min(size, grains * (task.part + 1) / task.parts * kGrain) - begin};
}

template <class Matrices>
void check_group(const char* name, int64_t rows, std::span<const int64_t> offsets,
                 const Matrices& w) {
  HECATE_CHECK(offsets.size() == w.data.size() + 1 && offsets.front() == 0 &&
                   offsets.back() == rows && std::ranges::is_sorted(offsets),
               name, ": ", offsets.size(), " offsets up to ", offsets.empty() ? 0 : offsets.back(),
               " for ", w.data.size(), " experts and ", rows, " rows");
  for (size_t e = 0; e < w.data.size(); ++e)
    HECATE_CHECK(w.data[e] != nullptr || offsets[e] == offsets[e + 1], name, ": expert ", e,
                 " has ", offsets[e + 1] - offsets[e], " rows but no weights here");
}

// Cuts every expert's work into tasks of about equal size, largest first, so that threads finish
// together however skewed the loads are. `size_of(rows)` is the dimension that is cut; experts
// without rows get a task only where `idle` is set.
template <class SizeOf>
std::span<Task> cut(CpuStream& stream, std::span<const int64_t> offsets, bool idle,
                    const SizeOf& size_of) {
  const size_t experts = offsets.size() - 1;
  const int64_t threads = stream.pool().threads();
  const int64_t target = std::max<int64_t>(kLeast, offsets.back() / (kPerThread * threads));
  const auto parts_of = [&](size_t e) {
    const int64_t rows = offsets[e + 1] - offsets[e];
    if (rows == 0) return int64_t{idle ? 1 : 0};
    return std::clamp<int64_t>((rows + target / 2) / target, 1,
                               std::max<int64_t>(1, size_of(rows) / kLeast));
  };
  int64_t count = 0;
  for (size_t e = 0; e < experts; ++e) count += parts_of(e);
  auto* tasks = reinterpret_cast<Task*>(
      stream.workspace(static_cast<size_t>(std::max<int64_t>(1, count)) * sizeof(Task)));
  Task* next = tasks;
  for (size_t e = 0; e < experts; ++e) {
    const int64_t parts = parts_of(e);
    for (int64_t part = 0; part < parts; ++part)
      *next++ = {static_cast<int64_t>(e), part, parts, offsets[e + 1] - offsets[e]};
  }
  const auto larger = [](const Task& a, const Task& b) {
    const int64_t left = a.rows * b.parts, right = b.rows * a.parts;
    if (left != right) return left > right;
    return a.expert != b.expert ? a.expert < b.expert : a.part < b.part;
  };
  std::sort(tasks, next, larger);
  return {tasks, next};
}

// Calls product(expert, first row, rows) for blocks of every expert's rows.
template <class Product>
void for_expert_rows(Stream& s, const char* name, std::span<const int64_t> offsets,
                     const Product& product) {
  CpuStream& stream = cpu_stream(s, name);
  const std::span<Task> tasks = cut(stream, offsets, false, [](int64_t rows) { return rows; });
  stream.pool().parallel_for(static_cast<int64_t>(tasks.size()), [&](int64_t index, int) {
    const Task& task = tasks[static_cast<size_t>(index)];
    const Range range = part_of(task.rows, task);
    const auto e = static_cast<size_t>(task.expert);
    product(e, offsets[e] + range.begin, range.count);
  });
}

}  // namespace

void grouped_linear(Stream& s, View<const Real> x, std::span<const int64_t> offsets,
                    const ExpertWeights& w, View<Real> y) {
  check_group("grouped_linear", x.rows(), offsets, w);
  HECATE_CHECK(x.dim(1) == w.k && y.shape() == (Shape{x.rows(), w.n}), "grouped_linear: x ",
               x.shape(), ", w [", w.n, ",", w.k, "], y ", y.shape());
  if (s.device() == DeviceKind::cuda) return cuda::grouped_linear(s, x, offsets, w, y);
  for_expert_rows(s, "grouped_linear", offsets, [&](size_t e, int64_t first, int64_t rows) {
    cpu::serial_gemm(false, true, rows, w.n, w.k, 1, x.row(first), x.row_stride(), w.data[e], w.k,
                     0, y.row(first), y.row_stride());
  });
}

void grouped_linear_backward_input(Stream& s, View<const Real> dy, std::span<const int64_t> offsets,
                                   const ExpertWeights& w, View<Real> dx) {
  check_group("grouped_linear_backward_input", dy.rows(), offsets, w);
  HECATE_CHECK(dy.dim(1) == w.n && dx.shape() == (Shape{dy.rows(), w.k}),
               "grouped_linear_backward_input: dy ", dy.shape(), ", w [", w.n, ",", w.k, "], dx ",
               dx.shape());
  if (s.device() == DeviceKind::cuda)
    return cuda::grouped_linear_backward_input(s, dy, offsets, w, dx);
  for_expert_rows(
      s, "grouped_linear_backward_input", offsets, [&](size_t e, int64_t first, int64_t rows) {
        cpu::serial_gemm(false, false, rows, w.k, w.n, 1, dy.row(first), dy.row_stride(), w.data[e],
                         w.k, 0, dx.row(first), dx.row_stride());
      });
}

void grouped_linear_backward_weight(Stream& s, View<const Real> dy, View<const Real> x,
                                    std::span<const int64_t> offsets, const ExpertGradients& dw,
                                    bool accumulate) {
  check_group("grouped_linear_backward_weight", dy.rows(), offsets, dw);
  HECATE_CHECK(dy.shape() == (Shape{x.rows(), dw.n}) && x.dim(1) == dw.k,
               "grouped_linear_backward_weight: dy ", dy.shape(), ", x ", x.shape(), ", dw [", dw.n,
               ",", dw.k, "]");
  if (s.device() == DeviceKind::cuda)
    return cuda::grouped_linear_backward_weight(s, dy, x, offsets, dw, accumulate);
  CpuStream& stream = cpu_stream(s, "grouped_linear_backward_weight");
  const std::span<Task> tasks = cut(stream, offsets, !accumulate, [&](int64_t) { return dw.n; });
  stream.pool().parallel_for(static_cast<int64_t>(tasks.size()), [&](int64_t index, int) {
    const Task& task = tasks[static_cast<size_t>(index)];
    const auto e = static_cast<size_t>(task.expert);
    if (dw.data[e] == nullptr) return;
    const Range range = part_of(dw.n, task);
    cpu::serial_gemm(true, false, range.count, dw.k, task.rows, 1, dy.row(offsets[e]) + range.begin,
                     dy.row_stride(), x.row(offsets[e]), x.row_stride(),
                     accumulate ? Real{1} : Real{0}, dw.data[e] + range.begin * dw.k, dw.k);
  });
}

}  // namespace hecate::kernels
