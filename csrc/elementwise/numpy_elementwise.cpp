// SPDX-License-Identifier: BSD-3-Clause
// Element-wise operators for NumPy arrays: see common/numpy/bindings.h. With `in_place` the result
// takes the place of the first array, as the contract allows.
#include "common/numpy/bindings.h"
#include "elementwise/dropout.h"
#include "elementwise/operators.h"

namespace cnnext {
namespace {

template <class Op, size_t... I>
ElementwiseShape<Op> read_elementwise_shape(Fields& f, std::index_sequence<I...>) {
  return {f.positive("size"), {f.number(Op::Parameters::kNames[I])...}};
}

}  // namespace

#define CNNEXT_READ_SHAPE(Op, op)                                                             \
  template <>                                                                                 \
  Op::Shape read_shape<Op>(Fields & f) {                                                      \
    return read_elementwise_shape<Op>(f, std::make_index_sequence<Op::Parameters::kCount>()); \
  }
CNNEXT_FOR_ELEMENTWISE(CNNEXT_READ_SHAPE)

template <>
DropoutShape read_shape<Dropout>(Fields& f) {
  return {f.positive("size"), f.number("keep")};
}

namespace {

template <class Op>
py::array run(Pass pass, const std::string& name, const py::array& first,
              const std::optional<py::array>& second, bool in_place, int threads,
              const py::kwargs& shape) {
  const bool forward = pass == Pass::forward;
  const ElementwiseShape<Op> s = shape_from<Op>(shape);
  return with_kernel<Op>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in = input<T>({forward ? "x" : "dy", s.size}, first);
    const std::optional<Input<T>> saved = input<T>({"saved", s.size}, second);
    const Output<T> out(s.size);
    if (in_place) std::copy_n(in.data(), s.size, out.data());
    run_for_test(kernel, pass, s,
                 {in_place ? out.data() : in.data(), data_or_null(saved), out.data()}, threads);
    return result(forward ? "y" : "dx", out, kernel.name);
  });
}

template <class Op>
void bind(py::module_& m) {
  py::module_ bindings = bind_operator<Op>(m);
  py::list parameters;
  for (int i = 0; i < Op::Parameters::kCount; ++i) parameters.append(Op::Parameters::kNames[i]);
  bindings.attr("parameters") = parameters;
  bindings.def(
      "forward",
      [](const std::string& name, const py::array& x, bool in_place, int threads,
         const py::kwargs& shape) {
        return run<Op>(Pass::forward, name, x, std::nullopt, in_place, threads, shape);
      },
      "name"_a, "x"_a, py::kw_only(), "in_place"_a = false, "threads"_a = 1);
  bindings.def(
      "bwd_input",
      [](const std::string& name, const py::array& dy, const py::array& saved, bool in_place,
         int threads, const py::kwargs& shape) {
        return run<Op>(Pass::bwd_input, name, dy, saved, in_place, threads, shape);
      },
      "name"_a, "dy"_a, "saved"_a, py::kw_only(), "in_place"_a = false, "threads"_a = 1);
}

#define CNNEXT_BIND(Op, op) [[maybe_unused]] const bool op##_bound = register_bindings(bind<Op>);
CNNEXT_FOR_ELEMENTWISE(CNNEXT_BIND)

py::tuple dropout_forward(const std::string& name, const py::array& x, const py::array& numbers,
                          int threads, const py::kwargs& shape) {
  const DropoutShape s = shape_from<Dropout>(shape);
  return with_kernel<Dropout>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in = input<T>({"x", s.size}, x);
    const Input<int64_t> drawn = input<int64_t>({"numbers", s.size}, numbers);
    const Output<uint8_t> mask(s.size);
    const Output<T> y(s.size);
    run_for_test(kernel, Pass::forward, s,
                 {in.data(), y.data(), drawn.data(), mask.data(), nullptr}, threads);
    return py::make_tuple(result("y", y, kernel.name), result("mask", mask, kernel.name));
  });
}

py::array dropout_backward(const std::string& name, const py::array& dy, const py::array& mask,
                           int threads, const py::kwargs& shape) {
  const DropoutShape s = shape_from<Dropout>(shape);
  return with_kernel<Dropout>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> in = input<T>({"dy", s.size}, dy);
    const Input<uint8_t> kept = input<uint8_t>({"mask", s.size}, mask);
    const Output<T> dx(s.size);
    run_for_test(kernel, Pass::bwd_input, s, {in.data(), dx.data(), nullptr, nullptr, kept.data()},
                 threads);
    return result("dx", dx, kernel.name);
  });
}

void bind_dropout(py::module_& m) {
  py::module_ bindings = bind_operator<Dropout>(m);
  bindings.def("forward", &dropout_forward, "name"_a, "x"_a, "numbers"_a, py::kw_only(),
               "threads"_a = 1, "Returns y and the mask.");
  bindings.def("bwd_input", &dropout_backward, "name"_a, "dy"_a, "mask"_a, py::kw_only(),
               "threads"_a = 1);
}

[[maybe_unused]] const bool dropout_bound = register_bindings(bind_dropout);

}  // namespace
}  // namespace cnnext
