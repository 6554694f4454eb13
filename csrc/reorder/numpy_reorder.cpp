// SPDX-License-Identifier: BSD-3-Clause
// reorder for NumPy arrays: see common/numpy/bindings.h and reorder.h. What lies between the
// channels of y is as in the array `around`, of y's size.
#include <algorithm>

#include "common/numpy/bindings.h"
#include "reorder/reorder.h"

namespace cnnext {
namespace {

int64_t floats(const ReorderShape& s, Layout layout, int64_t pixel) {
  return layout == Layout::nchw ? s.n * s.c * s.pixels : (s.n * s.pixels - 1) * pixel + s.c;
}

}  // namespace

template <>
ReorderShape read_shape<Reorder>(Fields& f) {
  ReorderShape s{};
  s.n = f.positive("n");
  s.c = f.positive("c");
  s.pixels = f.positive("pixels");
  s.from = f.layout("from");
  s.to = f.layout("to");
  if (s.from == Layout::nchw && s.to == Layout::nchw) {
    throw py::value_error("one of from and to must be channels_last");
  }
  s.x_pixel = f.at_least(s.c, "x_pixel");
  s.y_pixel = f.at_least(s.c, "y_pixel");
  return s;
}

namespace {

void bind(py::module_& m) {
  bind_operator<Reorder>(m).def(
      "forward",
      [](const std::string& name, const py::array& x, const py::array& around, int threads,
         const py::kwargs& shape) {
        const ReorderShape s = shape_from<Reorder>(shape);
        return with_kernel<Reorder>(name, [&](auto zero, const auto& kernel) {
          using T = decltype(zero);
          const int64_t size = floats(s, s.to, s.y_pixel);
          const Input<T> in = input<T>({"x", floats(s, s.from, s.x_pixel)}, x);
          const Input<T> before = input<T>({"around", size}, around);
          const Output<T> y(size);
          std::copy_n(before.data(), size, y.data());
          run_for_test(kernel, Pass::forward, s, {in.data(), y.data()}, threads);
          return result("y", y, kernel.name);
        });
      },
      "name"_a, "x"_a, "around"_a, py::kw_only(), "threads"_a = 1);
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
