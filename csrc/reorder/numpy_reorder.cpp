// SPDX-License-Identifier: BSD-3-Clause
// The operators of this folder for NumPy arrays: see common/numpy/around.h and <op>.h.
#include "common/numpy/around.h"
#include "reorder/depth_windows.h"
#include "reorder/pad.h"
#include "reorder/reorder.h"
#include "reorder/shuffle.h"

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

template <>
PadShape read_shape<Pad>(Fields& f) {
  PadShape s{};
  s.n = f.positive("n");
  s.c = f.positive("c");
  s.h_in = f.positive("h_in");
  s.w_in = f.positive("w_in");
  s.left = f.natural("left");
  s.right = f.natural("right");
  s.top = f.natural("top");
  s.bottom = f.natural("bottom");
  s.x_pixel = f.at_least(s.c, "x_pixel");
  s.y_pixel = f.at_least(s.c, "y_pixel");
  return s;
}

template <>
ShuffleShape read_shape<Shuffle>(Fields& f) {
  ShuffleShape s{};
  s.n = f.positive("n");
  s.h = f.positive("h");
  s.w = f.positive("w");
  s.rows = f.positive("rows");
  s.columns = f.positive("columns");
  s.upscale = f.positive("upscale");
  if (s.upscale > 1 && s.columns != s.upscale * s.upscale) {
    throw py::value_error("columns must be upscale * upscale");
  }
  s.x_pixel = f.at_least(s.c_in(), "x_pixel");
  s.y_pixel = f.at_least(s.c_out(), "y_pixel");
  return s;
}

template <>
DepthWindowsShape read_shape<DepthWindows>(Fields& f) {
  DepthWindowsShape s{};
  s.n = f.positive("n");
  s.c = f.positive("c");
  s.d_in = f.positive("d_in");
  s.pixels = f.positive("pixels");
  s.taps = f.positive("taps");
  s.stride = f.positive("stride");
  s.pad = f.natural("pad");
  s.dilation = f.positive("dilation");
  if (!s.windows().fit()) throw py::value_error("the window is larger than the padded volume");
  return s;
}

namespace {

int64_t volume_size(const DepthWindowsShape& s) { return s.n * s.c * s.d_in * s.pixels; }
int64_t windows_size(const DepthWindowsShape& s) {
  return s.n * s.d_out() * s.c * s.taps * s.pixels;
}

py::array depth_windows(Pass pass, const std::string& name, const py::array& x, int threads,
                        const py::kwargs& shape) {
  const auto s = shape_from<DepthWindows>(shape);
  const bool forward = pass == Pass::forward;
  return with_kernel<DepthWindows>(name, [&](auto zero, const auto& kernel) -> py::array {
    using T = decltype(zero);
    const Input<T> in =
        input<T>({forward ? "x" : "dy", forward ? volume_size(s) : windows_size(s)}, x);
    const Output<T> out(forward ? windows_size(s) : volume_size(s));
    run_for_test(kernel, pass, s, {in.data(), out.data()}, threads);
    return result(forward ? "y" : "dx", out, kernel.name);
  });
}

void bind(py::module_& m) {
  bind_operator<DepthWindows>(m)
      .def(
          "forward",
          [](const std::string& name, const py::array& x, int threads, const py::kwargs& shape) {
            return depth_windows(Pass::forward, name, x, threads, shape);
          },
          "name"_a, "x"_a, py::kw_only(), "threads"_a = 1)
      .def(
          "bwd_input",
          [](const std::string& name, const py::array& dy, int threads, const py::kwargs& shape) {
            return depth_windows(Pass::bwd_input, name, dy, threads, shape);
          },
          "name"_a, "dy"_a, py::kw_only(), "threads"_a = 1);
  bind_around<Reorder>(
      m, [](const ReorderShape& s) { return floats(s, s.from, s.x_pixel); },
      [](const ReorderShape& s) { return floats(s, s.to, s.y_pixel); });
  bind_around<Pad>(
      m, [](const PadShape& s) { return (s.n * s.h_in * s.w_in - 1) * s.x_pixel + s.c; },
      [](const PadShape& s) { return (s.n * s.h_out() * s.w_out() - 1) * s.y_pixel + s.c; });
  bind_around<Shuffle>(
      m, [](const ShuffleShape& s) { return (s.n * s.h * s.w - 1) * s.x_pixel + s.c_in(); },
      [](const ShuffleShape& s) {
        return (s.n * s.h * s.w * s.upscale * s.upscale - 1) * s.y_pixel + s.c_out();
      });
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
