// SPDX-License-Identifier: BSD-3-Clause
// Bindings of operators that read x and write y, either of which may be a range of the channels of
// a larger buffer. What lies between the channels of y is as in the array `around`, of y's size.
#pragma once

#include <algorithm>

#include "common/numpy/bindings.h"

namespace cnnext {

// How many elements an operand has, from its first to its last.
template <class Op>
using Floats = int64_t (*)(const typename Op::Shape&);

template <class Op>
void bind_around(py::module_& m, Floats<Op> of_x, Floats<Op> of_y) {
  bind_operator<Op>(m).def(
      "forward",
      [=](const std::string& name, const py::array& x, const py::array& around, int threads,
          const py::kwargs& shape) {
        const typename Op::Shape s = shape_from<Op>(shape);
        return with_kernel<Op>(name, [&](auto zero, const auto& kernel) {
          using T = decltype(zero);
          const int64_t size = of_y(s);
          const Input<T> in = input<T>({"x", of_x(s)}, x);
          const Input<T> before = input<T>({"around", size}, around);
          const Output<T> y(size);
          std::copy_n(before.data(), size, y.data());
          run_for_test(kernel, Pass::forward, s, {in.data(), y.data()}, threads);
          return result("y", y, kernel.name);
        });
      },
      "name"_a, "x"_a, "around"_a, py::kw_only(), "threads"_a = 1);
}

}  // namespace cnnext
