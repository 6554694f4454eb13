// SPDX-License-Identifier: BSD-3-Clause
// scale for NumPy arrays: see common/numpy/bindings.h and scale.h. What lies between the channels
// of y is as in the array `around`, of y's size.
#include <algorithm>

#include "common/numpy/epilogue.h"
#include "scale/scale.h"

namespace cnnext {

template <>
ScaleShape read_shape<Scale>(Fields& f) {
  ScaleShape s{};
  s.n = f.positive("n");
  s.c = f.positive("c");
  s.pixels = f.positive("pixels");
  s.x_pixel = f.at_least(s.c, "x_pixel");
  s.y_pixel = f.at_least(s.c, "y_pixel");
  s.factor_image = f.natural("factor_image");
  if (s.factor_image != 0 && s.factor_image != s.c) {
    throw py::value_error("factor_image must be 0 or c");
  }
  return s;
}

namespace {

py::array forward(const std::string& name, const py::array& x, const py::array& factor,
                  const py::array& around, const std::optional<py::array>& bias,
                  const std::optional<py::array>& residual, const py::dict& epilogue, int threads,
                  const py::kwargs& shape) {
  const ScaleShape s = shape_from<Scale>(shape);
  const int64_t pixels = s.n * s.pixels;
  const auto floats = [&](int64_t pixel) { return (pixels - 1) * pixel + s.c; };
  return with_kernel<Scale>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in = input<T>({"x", floats(s.x_pixel)}, x);
    const Input<T> factors = input<T>({"factor", s.factor_image == 0 ? s.c : s.n * s.c}, factor);
    const Input<T> before = input<T>({"around", floats(s.y_pixel)}, around);
    const OwnedEpilogue<T> finish({bias, residual, epilogue}, pixels, s.c, Layout::channels_last);
    const Output<T> y(floats(s.y_pixel));
    std::copy_n(before.data(), floats(s.y_pixel), y.data());
    run_for_test(kernel, Pass::forward, s, {in.data(), factors.data(), finish.get(), y.data()},
                 threads);
    return result("y", y, kernel.name);
  });
}

void bind(py::module_& m) {
  bind_operator<Scale>(m).def("forward", &forward, "name"_a, "x"_a, "factor"_a, "around"_a,
                              py::kw_only(), "bias"_a = py::none(), "residual"_a = py::none(),
                              "epilogue"_a = py::dict(), "threads"_a = 1);
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
