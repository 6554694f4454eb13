// SPDX-License-Identifier: BSD-3-Clause
// resample for NumPy arrays: see common/numpy/around.h and resample.h.
#include "common/numpy/around.h"
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
  bind_around<Resample>(
      m, [](const ResampleShape& s) { return (s.n * s.h_in * s.w_in - 1) * s.x_pixel + s.c; },
      [](const ResampleShape& s) { return (s.n * s.h_out * s.w_out - 1) * s.y_pixel + s.c; });
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
