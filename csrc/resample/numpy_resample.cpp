// SPDX-License-Identifier: BSD-3-Clause
// resample for NumPy arrays: see common/numpy/bindings.h and resample.h. What lies between the
// channels of y is as in the array `around`, of y's size.
#include <algorithm>

#include "common/numpy/bindings.h"
#include "resample/resample.h"

namespace cnnext {

template <>
ResampleShape read_shape<Resample>(Fields& f) {
  ResampleShape s{};
  s.n = f.positive("n");
  s.c = f.positive("c");
  s.h_in = f.positive("h_in");
  s.w_in = f.positive("w_in");
  s.h_out = f.positive("h_out");
  s.w_out = f.positive("w_out");
  s.interpolation = f.choice<Interpolation>(
      "interpolation",
      {{"nearest", Interpolation::nearest}, {"bilinear", Interpolation::bilinear}});
  s.align_corners = f.flag("align_corners");
  s.ratio_h = static_cast<float>(f.number("ratio_h"));
  s.ratio_w = static_cast<float>(f.number("ratio_w"));
  if (!(s.ratio_h >= 0) || !(s.ratio_w >= 0)) {
    throw py::value_error("ratio_h and ratio_w must not be negative");
  }
  s.x_pixel = f.at_least(s.c, "x_pixel");
  s.y_pixel = f.at_least(s.c, "y_pixel");
  return s;
}

namespace {

void bind(py::module_& m) {
  bind_operator<Resample>(m).def(
      "forward",
      [](const std::string& name, const py::array& x, const py::array& around, int threads,
         const py::kwargs& shape) {
        const ResampleShape s = shape_from<Resample>(shape);
        return with_kernel<Resample>(name, [&](auto zero, const auto& kernel) {
          using T = decltype(zero);
          const int64_t inputs = (s.n * s.h_in * s.w_in - 1) * s.x_pixel + s.c;
          const int64_t outputs = (s.n * s.h_out * s.w_out - 1) * s.y_pixel + s.c;
          const Input<T> in = input<T>({"x", inputs}, x);
          const Input<T> before = input<T>({"around", outputs}, around);
          const Output<T> y(outputs);
          std::copy_n(before.data(), outputs, y.data());
          run_for_test(kernel, Pass::forward, s, {in.data(), y.data()}, threads);
          return result("y", y, kernel.name);
        });
      },
      "name"_a, "x"_a, "around"_a, py::kw_only(), "threads"_a = 1);
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
