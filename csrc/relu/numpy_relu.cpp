// SPDX-License-Identifier: BSD-3-Clause
// relu for NumPy arrays: see common/numpy/bindings.h. With `in_place` the result takes the place of
// the first array, as the contract allows.
#include "common/numpy/bindings.h"
#include "relu/relu.h"

namespace cnnext {

template <>
ReluShape read_shape<Relu>(Fields& f) {
  return {f.positive("size")};
}

namespace {

py::array run(Pass pass, const std::string& name, const py::array& first,
              const std::optional<py::array>& second, bool in_place, int threads,
              const py::kwargs& shape) {
  const bool forward = pass == Pass::forward;
  const ReluShape s = shape_from<Relu>(shape);
  return with_kernel<Relu>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in = input<T>({forward ? "x" : "dy", s.size}, first);
    const std::optional<Input<T>> y = input<T>({"y", s.size}, second);
    const Output<T> out(s.size);
    if (in_place) std::copy_n(in.data(), s.size, out.data());
    run_for_test(kernel, pass, s, {in_place ? out.data() : in.data(), data_or_null(y), out.data()},
                 threads);
    return result(forward ? "y" : "dx", out, kernel.name);
  });
}

void bind(py::module_& m) {
  py::module_ bindings = bind_operator<Relu>(m);
  bindings.def(
      "forward",
      [](const std::string& name, const py::array& x, bool in_place, int threads,
         const py::kwargs& shape) {
        return run(Pass::forward, name, x, std::nullopt, in_place, threads, shape);
      },
      "name"_a, "x"_a, py::kw_only(), "in_place"_a = false, "threads"_a = 1);
  bindings.def(
      "bwd_input",
      [](const std::string& name, const py::array& dy, const py::array& y, bool in_place,
         int threads, const py::kwargs& shape) {
        return run(Pass::bwd_input, name, dy, y, in_place, threads, shape);
      },
      "name"_a, "dy"_a, "y"_a, py::kw_only(), "in_place"_a = false, "threads"_a = 1);
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
