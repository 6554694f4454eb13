// SPDX-License-Identifier: BSD-3-Clause
// The passes of average pools for NumPy arrays: see common/numpy/bindings.h.
#pragma once

#include "pooling/average.h"
#include "pooling/numpy_pools.h"

namespace cnnext {

template <class Op>
void bind_average(py::module_& m) {
  py::module_ bindings = bind_operator<Op>(m);
  bindings.def(
      "forward",
      [](const std::string& name, const py::array& x, int threads, const py::kwargs& shape) {
        const auto s = shape_from<Op>(shape);
        return with_kernel<Op>(name, [&](auto zero, const auto& kernel) -> py::array {
          using T = decltype(zero);
          const Input<T> in = input<T>({"x", x_size(s)}, x);
          const Output<T> y(y_size(s));
          run_for_test(kernel, Pass::forward, s, {in.data(), y.data()}, threads);
          return result("y", y, kernel.name);
        });
      },
      "name"_a, "x"_a, py::kw_only(), "threads"_a = 1);
  bindings.def(
      "bwd_input",
      [](const std::string& name, const py::array& dy, int threads, const py::kwargs& shape) {
        const auto s = shape_from<Op>(shape);
        return with_kernel<Op>(name, [&](auto zero, const auto& kernel) -> py::array {
          using T = decltype(zero);
          const Input<T> in = input<T>({"dy", y_size(s)}, dy);
          const Output<T> dx(x_size(s));
          run_for_test(kernel, Pass::bwd_input, s, {in.data(), dx.data()}, threads);
          return result("dx", dx, kernel.name);
        });
      },
      "name"_a, "dy"_a, py::kw_only(), "threads"_a = 1);
}

}  // namespace cnnext
