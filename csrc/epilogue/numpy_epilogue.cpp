// SPDX-License-Identifier: BSD-3-Clause
// The epilogue alone for NumPy arrays: see common/numpy/bindings.h and epilogue.h. `activations`
// lists the names of all.
#include "common/numpy/epilogue.h"
#include "epilogue/finish.h"

namespace cnnext {

template <>
FinishShape read_shape<Finish>(Fields& f) {
  FinishShape s{};
  s.rows = f.positive("rows");
  s.columns = f.positive("columns");
  s.bias_row = f.natural("bias_row");
  s.bias_column = f.natural("bias_column");
  if (s.bias_row + s.bias_column > 1) {
    throw py::value_error("one of bias_row and bias_column may be 1, and the other must be 0");
  }
  s.residual_row = f.at_least(s.columns, "residual_row");
  return s;
}

namespace {

py::array forward(const std::string& name, const py::array& x, const std::optional<py::array>& bias,
                  const std::optional<py::array>& residual, const py::dict& epilogue, int threads,
                  const py::kwargs& shape) {
  const FinishShape s = shape_from<Finish>(shape);
  return with_kernel<Finish>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const int64_t down = s.rows - 1, right = s.columns - 1;
    const Input<T> in = input<T>({"x", s.rows * s.columns}, x);
    const auto b = input<T>({"bias", 1 + down * s.bias_row + right * s.bias_column}, bias);
    const auto r = input<T>({"residual", 1 + down * s.residual_row + right}, residual);
    const Output<T> y(s.rows * s.columns);
    Epilogue<T> e = read_epilogue<T>(epilogue);
    e.bias = data_or_null(b);
    e.residual = data_or_null(r);
    run_for_test(kernel, Pass::forward, s, {in.data(), e, y.data()}, threads);
    return result("y", y, kernel.name);
  });
}

void bind(py::module_& m) {
  py::module_ bindings = bind_operator<Finish>(m);
  py::list activations;
#define CNNEXT_APPEND(name) activations.append(#name);
  CNNEXT_FOR_ACTIVATIONS(CNNEXT_APPEND)
  bindings.attr("activations") = activations;
  bindings.def("forward", &forward, "name"_a, "x"_a, "bias"_a, "residual"_a, "epilogue"_a,
               py::kw_only(), "threads"_a = 1);
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
