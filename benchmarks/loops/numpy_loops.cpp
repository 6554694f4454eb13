// SPDX-License-Identifier: BSD-3-Clause
// _loops: every ISA's loops on NumPy arrays and standard threads. Each call returns how much work
// it was, that of all threads together:
//
//   multiply_add(isa, steps, *, threads) -> flops     each thread does all steps
//   read(isa, x, passes, *, threads) -> bytes         each thread has its own part of x
//   copy(isa, x, y, passes, *, threads) -> bytes      counted once, though read and written
#include "common/kernel/isa.h"
#include "common/numpy/bindings.h"
#include "loops/loops.h"

namespace cnnext {
namespace {

using Floats = py::array_t<float, py::array::c_style>;

const Loops& loops_of(const std::string& name) {
#define CNNEXT_FIND(isa, ...) \
  if (name == #isa && Isa::isa <= detected_isa()) return loops_##isa;
  CNNEXT_FOR_ISAS(CNNEXT_FIND)
#undef CNNEXT_FIND
  throw py::value_error("there are no loops of ISA '" + name + "' for this machine");
}

void check_aligned(const char* name, const Floats& array) {
  if (reinterpret_cast<uintptr_t>(array.data()) % kLoopAlignment != 0) {
    throw py::value_error(std::string(name) + " must be aligned to " +
                          std::to_string(kLoopAlignment) + " bytes");
  }
}

// What each thread has of an array: whole blocks, at least one.
int64_t part_of(int64_t size, int threads) {
  check_threads(threads);
  const int64_t part = size / threads / kLoopBlock * kLoopBlock;
  if (part == 0) {
    throw py::value_error("each thread must have at least " + std::to_string(kLoopBlock) +
                          " elements");
  }
  return part;
}

int64_t bytes_of(int64_t part, int64_t passes, int threads) {
  return part * passes * threads * static_cast<int64_t>(sizeof(float));
}

int64_t multiply_add(const std::string& isa, int64_t steps, int threads) {
  const Loops& loops = loops_of(isa);
  check_threads(threads);
  const py::gil_scoped_release released;
  run_on_std_threads(threads, [&](int64_t) { loops.multiply_add(steps); });
  return loops.flops_per_step * steps * threads;
}

int64_t read(const std::string& isa, const Floats& x, int64_t passes, int threads) {
  const Loops& loops = loops_of(isa);
  check_aligned("x", x);
  const int64_t part = part_of(x.size(), threads);
  const float* const from = x.data();
  const py::gil_scoped_release released;
  run_on_std_threads(threads, [&](int64_t i) { loops.read(from + i * part, part, passes); });
  return bytes_of(part, passes, threads);
}

int64_t copy(const std::string& isa, const Floats& x, Floats& y, int64_t passes, int threads) {
  const Loops& loops = loops_of(isa);
  check_aligned("x", x);
  check_aligned("y", y);
  if (x.size() != y.size()) throw py::value_error("x and y must have the same size");
  const int64_t part = part_of(x.size(), threads);
  const float* const from = x.data();
  float* const to = y.mutable_data();
  const py::gil_scoped_release released;
  run_on_std_threads(threads,
                     [&](int64_t i) { loops.copy(to + i * part, from + i * part, part, passes); });
  return bytes_of(part, passes, threads);
}

}  // namespace
}  // namespace cnnext

PYBIND11_MODULE(_loops, m) {
  namespace py = pybind11;
  using namespace py::literals;
  m.attr("alignment") = cnnext::kLoopAlignment;
  m.def("multiply_add", &cnnext::multiply_add, "isa"_a, "steps"_a, py::kw_only(), "threads"_a = 1);
  m.def("read", &cnnext::read, "isa"_a, "x"_a.noconvert(), "passes"_a, py::kw_only(),
        "threads"_a = 1);
  m.def("copy", &cnnext::copy, "isa"_a, "x"_a.noconvert(), "y"_a.noconvert(), "passes"_a,
        py::kw_only(), "threads"_a = 1);
}
