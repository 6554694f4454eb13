// SPDX-License-Identifier: BSD-3-Clause
// lstm_cell for NumPy arrays: see common/numpy/bindings.h.
#include "common/numpy/bindings.h"
#include "lstm_cell/select.h"

namespace cnnext {

template <>
LSTMCellShape read_shape<LSTMCell>(Fields& f) {
  return {f.positive("batch"), f.natural("input"), f.positive("hidden")};
}

namespace {

py::tuple forward(const std::string& name, const py::array& x, const py::array& h,
                  const py::array& c, const py::array& w_ih, const py::array& w_hh,
                  const std::optional<py::array>& b_ih, const std::optional<py::array>& b_hh,
                  int threads, const py::kwargs& shape) {
  const LSTMCellShape s = shape_from<LSTMCell>(shape);
  if (b_ih.has_value() != b_hh.has_value()) throw py::value_error("give both biases, or none");
  const int64_t state = s.batch * s.hidden, gates = 4 * s.hidden;
  return with_kernel<LSTMCell>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> x_in = input<T>({"x", s.batch * s.input}, x);
    const Input<T> h_in = input<T>({"h", state}, h), c_in = input<T>({"c", state}, c);
    const Input<T> w_ih_in = input<T>({"w_ih", gates * s.input}, w_ih);
    const Input<T> w_hh_in = input<T>({"w_hh", gates * s.hidden}, w_hh);
    const std::optional<Input<T>> b_ih_in = input<T>({"b_ih", gates}, b_ih);
    const std::optional<Input<T>> b_hh_in = input<T>({"b_hh", gates}, b_hh);
    const Output<T> h_next(state), c_next(state), activated(s.batch * gates);
    LSTMCellOperands<T> o{};
    o.x = x_in.data();
    o.h = h_in.data();
    o.c = c_in.data();
    o.w_ih = w_ih_in.data();
    o.w_hh = w_hh_in.data();
    o.b_ih = data_or_null(b_ih_in);
    o.b_hh = data_or_null(b_hh_in);
    o.h_next = h_next.data();
    o.c_next = c_next.data();
    o.gates = activated.data();
    run_for_test(kernel, Pass::forward, s, o, threads);
    return py::make_tuple(result("h_next", h_next, kernel.name),
                          result("c_next", c_next, kernel.name),
                          result("gates", activated, kernel.name));
  });
}

py::tuple backward(const std::string& name, const py::array& c, const py::array& gates,
                   const std::optional<py::array>& dh_next, const std::optional<py::array>& dc_next,
                   int threads, const py::kwargs& shape) {
  const LSTMCellShape s = shape_from<LSTMCell>(shape);
  const int64_t state = s.batch * s.hidden;
  return with_kernel<LSTMCell>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> c_in = input<T>({"c", state}, c);
    const Input<T> gates_in = input<T>({"gates", 4 * state}, gates);
    const std::optional<Input<T>> dh_in = input<T>({"dh_next", state}, dh_next);
    const std::optional<Input<T>> dc_in = input<T>({"dc_next", state}, dc_next);
    const Output<T> dz(4 * state), dc(state);
    LSTMCellOperands<T> o{};
    o.c = c_in.data();
    o.gates = gates_in.data();
    o.dh_next = data_or_null(dh_in);
    o.dc_next = data_or_null(dc_in);
    o.dz = dz.data();
    o.dc = dc.data();
    run_for_test(kernel, Pass::backward, s, o, threads);
    return py::make_tuple(result("dz", dz, kernel.name), result("dc", dc, kernel.name));
  });
}

void bind(py::module_& m) {
  py::module_ bindings = bind_operator<LSTMCell>(m);
  bindings.def("forward", &forward, "name"_a, "x"_a, "h"_a, "c"_a, "w_ih"_a, "w_hh"_a,
               "b_ih"_a = py::none(), "b_hh"_a = py::none(), py::kw_only(), "threads"_a = 1,
               "Returns h_next, c_next and the gates.");
  bindings.def("backward", &backward, "name"_a, "c"_a, "gates"_a, "dh_next"_a = py::none(),
               "dc_next"_a = py::none(), py::kw_only(), "threads"_a = 1, "Returns dz and dc.");
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
