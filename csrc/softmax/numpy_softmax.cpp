// SPDX-License-Identifier: BSD-3-Clause
// softmax for NumPy arrays: see common/numpy/around.h and softmax.h.
#include "common/numpy/around.h"
#include "softmax/softmax.h"

namespace cnnext {

template <>
SoftmaxShape read_shape<Softmax>(Fields& f) {
  SoftmaxShape s{};
  s.pixels = f.positive("pixels");
  s.c = f.positive("c");
  s.log = f.flag("log");
  s.x_pixel = f.at_least(s.c, "x_pixel");
  s.y_pixel = f.at_least(s.c, "y_pixel");
  return s;
}

namespace {

void bind(py::module_& m) {
  bind_around<Softmax>(
      m, [](const SoftmaxShape& s) { return (s.pixels - 1) * s.x_pixel + s.c; },
      [](const SoftmaxShape& s) { return (s.pixels - 1) * s.y_pixel + s.c; });
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
