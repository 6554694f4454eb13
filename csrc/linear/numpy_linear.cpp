// SPDX-License-Identifier: BSD-3-Clause
// linear for NumPy arrays: see common/numpy/bindings.h.
#include "common/numpy/bindings.h"
#include "common/numpy/epilogue.h"
#include "linear/linear.h"

namespace cnnext {

template <>
LinearShape read_shape<Linear>(Fields& f) {
  return {f.positive("m"), f.positive("n"), f.positive("k")};
}

namespace {

py::array run(Pass pass, const std::string& name, const py::array& first, const py::array& second,
              const ForwardArguments& given, int threads, bool packed, const py::kwargs& shape) {
  const LinearShape s = shape_from<Linear>(shape);
  const Layout rows = Layout::channels_last;
  const ArraySpec x = pixels_of("x", s.m, s.k, rows, given.x_pixel), w{"w", s.n * s.k};
  const ArraySpec y = pixels_of("y", s.m, s.n, rows, given.y_pixel);
  const std::array<ArraySpec, 3> arrays = arrays_of(pass, x, w, y);
  return with_kernel<Linear>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in1 = input<T>(arrays[0], first), in2 = input<T>(arrays[1], second);
    const OwnedEpilogue<T> finish(given, s.m, s.n, rows);
    const Output<T> out(arrays[2].size);
    const LinearOperands<T> o{in1.data(), in2.data(),    finish.get(),
                              out.data(), given.x_pixel, given.y_pixel};
    run_for_test(kernel, pass, s, o, threads, packed);
    return result(arrays[2].name, out, kernel.name);
  });
}

void bind_gradient(py::module_& bindings, Pass pass, const char* second) {
  bindings.def(
      pass_name(pass),
      [pass](const std::string& name, const py::array& dy, const py::array& other, int threads,
             bool packed, const py::kwargs& shape) {
        return run(pass, name, dy, other, {}, threads, packed, shape);
      },
      "name"_a, "dy"_a, py::arg(second), py::kw_only(), "threads"_a = 1, "packed"_a = false);
}

void bind(py::module_& m) {
  py::module_ bindings = bind_operator<Linear>(m);
  bindings.def(
      "forward",
      [](const std::string& name, const py::array& x, const py::array& w,
         const std::optional<py::array>& b, const std::optional<py::array>& residual,
         const py::dict& epilogue, int64_t x_pixel, int64_t y_pixel, int threads, bool packed,
         const py::kwargs& shape) {
        return run(Pass::forward, name, x, w, {b, residual, epilogue, x_pixel, y_pixel}, threads,
                   packed, shape);
      },
      "name"_a, "x"_a, "w"_a, "b"_a = py::none(), py::kw_only(), "residual"_a = py::none(),
      "epilogue"_a = py::dict(), "x_pixel"_a = 0, "y_pixel"_a = 0, "threads"_a = 1,
      "packed"_a = false);
  bind_gradient(bindings, Pass::bwd_input, "w");
  bind_gradient(bindings, Pass::bwd_weight, "x");
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
