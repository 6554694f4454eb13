// SPDX-License-Identifier: BSD-3-Clause
// Kernels that misbehave, for the tests of the bindings: each copies x to y and does one thing that
// a kernel must not do. The submodule `faults` has
//
//   names() -> [name]
//   run(name, x, *, threads) -> y
#include <iterator>

#include "common/numpy/bindings.h"

namespace cnnext {
namespace {

struct CopyShape {
  int64_t size;
};

struct CopyOperands {
  const float* x;
  float* y;
};

using CopyKernel = Kernel<CopyShape, CopyOperands>;
using Fault = void (*)(const CopyShape&, const CopyOperands&, const Slice&);

// No multiples of the alignment: so there are guard bytes behind scratch and packed weights.
constexpr int64_t kSharedBytes = 100, kChunkBytes = 36, kPackedBytes = 68;

void copy(const CopyOperands& o, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) o.y[i] = o.x[i];
}

void nothing(const CopyShape&, const CopyOperands&, const Slice&) {}

void read(const float* at) { static_cast<void>(*static_cast<const volatile float*>(at)); }

void read_before_input(const CopyShape&, const CopyOperands& o, const Slice&) { read(o.x - 1); }
void read_after_input(const CopyShape& s, const CopyOperands& o, const Slice&) {
  read(o.x + s.size);
}
void write_to_input(const CopyShape&, const CopyOperands& o, const Slice&) {
  *const_cast<float*>(o.x) = 0;
}

void write_before_output(const CopyShape&, const CopyOperands& o, const Slice&) { o.y[-1] = 0; }
void write_after_output(const CopyShape& s, const CopyOperands& o, const Slice&) {
  o.y[s.size] = 0;
}

void write_before_shared(const CopyShape&, const CopyOperands&, const Slice& slice) {
  slice.shared[-1] = 0;
}
void write_after_shared(const CopyShape&, const CopyOperands&, const Slice& slice) {
  slice.shared[kSharedBytes] = 0;
}
void write_before_chunk(const CopyShape&, const CopyOperands&, const Slice& slice) {
  slice.chunk[-1] = 0;
}
void write_after_chunk(const CopyShape&, const CopyOperands&, const Slice& slice) {
  slice.chunk[kChunkBytes] = 0;
}

void write_before_packed(const CopyShape&, const CopyOperands&, const Slice& slice) {
  slice.packed[-1] = 0;
}
void write_after_packed(const CopyShape&, const CopyOperands&, const Slice& slice) {
  slice.packed[kPackedBytes] = 0;
}
void write_to_packed(const CopyShape&, const CopyOperands&, const Slice& slice) {
  *slice.packed = 0;
}

void race_for_output(const CopyShape&, const CopyOperands& o, const Slice&) { *o.y = *o.x; }
void race_for_shared(const CopyShape&, const CopyOperands&, const Slice& slice) {
  *slice.shared = 0;
}

Cost cost(const CopyShape&, int) { return 1; }

Plan plan(const CopyShape& shape, int) {
  Plan plan;
  plan.tasks[0] = shape.size;
  plan.shared_bytes = kSharedBytes;
  plan.chunk_bytes = kChunkBytes;
  plan.weights.order = "nothing";
  plan.weights.tasks = 1;
  plan.weights.bytes = kPackedBytes;
  return plan;
}

template <Fault fault>
void pack(const CopyShape& shape, const Plan&, const CopyOperands& o, const Slice& slice) {
  fault(shape, o, slice);
}

template <Fault fault>
void run(const CopyShape& shape, const Plan&, const CopyOperands& o, const Slice& slice) {
  copy(o, slice.begin, slice.end);
  fault(shape, o, slice);
}

void run_all_but_last(const CopyShape& shape, const Plan&, const CopyOperands& o,
                      const Slice& slice) {
  copy(o, slice.begin, min(slice.end, shape.size - 1));
}

constexpr CopyKernel kernel(const char* name, decltype(CopyKernel::run) run,
                            decltype(CopyKernel::pack) pack = pack<nothing>) {
  return {name, Pass::forward, Isa::baseline, cost, plan, pack, run};
}

constexpr CopyKernel kKernels[] = {
    kernel("nothing", run<nothing>),
    kernel("unwritten_element", run_all_but_last),
    kernel("read_before_input", run<read_before_input>),
    kernel("read_after_input", run<read_after_input>),
    kernel("write_to_input", run<write_to_input>),
    kernel("write_before_output", run<write_before_output>),
    kernel("write_after_output", run<write_after_output>),
    kernel("write_before_shared", run<write_before_shared>),
    kernel("write_after_shared", run<write_after_shared>),
    kernel("write_before_chunk", run<write_before_chunk>),
    kernel("write_after_chunk", run<write_after_chunk>),
    kernel("write_before_packed", run<nothing>, pack<write_before_packed>),
    kernel("write_after_packed", run<nothing>, pack<write_after_packed>),
    kernel("write_to_packed", run<write_to_packed>),
    kernel("race_for_output", run<race_for_output>),
    kernel("race_for_shared", run<race_for_shared>),
};

void bind(py::module_& m) {
  py::module_ bindings = m.def_submodule("faults");
  bindings.def("names", [] {
    std::vector<std::string> names;
    for (const CopyKernel& kernel : kKernels) names.emplace_back(kernel.name);
    return names;
  });
  bindings.def(
      "run",
      [](const std::string& name, const py::array& x, int threads) {
        const auto is_meant = [&](const CopyKernel& kernel) { return name == kernel.name; };
        const auto found = std::find_if(std::begin(kKernels), std::end(kKernels), is_meant);
        if (found == std::end(kKernels)) throw py::value_error("there is no fault '" + name + "'");
        const CopyShape shape{x.size()};
        const Input<float> in = input<float>({"x", shape.size}, x);
        const Output<float> y(shape.size);
        run_for_test(*found, Pass::forward, shape, {in.data(), y.data()}, threads);
        return result("y", y, found->name);
      },
      "name"_a, "x"_a, py::kw_only(), "threads"_a = 1);
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
