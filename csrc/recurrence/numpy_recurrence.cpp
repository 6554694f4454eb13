// SPDX-License-Identifier: BSD-3-Clause
// recurrence for NumPy arrays: see common/numpy/bindings.h. The sequences are all of one length
// unless `batch_sizes` says how many take part in each step.
#include "common/numpy/bindings.h"
#include "recurrence/recurrence.h"

namespace cnnext {

template <>
RecurrenceShape read_shape<Recurrence>(Fields& f) {
  return {f.choice<CellKind>("cell", {{"lstm", CellKind::lstm},
                                      {"gru", CellKind::gru},
                                      {"rnn_tanh", CellKind::rnn_tanh},
                                      {"rnn_relu", CellKind::rnn_relu}}),
          f.positive("steps"),
          f.positive("rows"),
          f.positive("batch"),
          f.natural("input"),
          f.positive("hidden")};
}

// For IsolatedKernel: whatever is packed lies elsewhere.
template <class T>
void replace_weights(RecurrenceOperands<T>& o, const void* weights) {
  for (const T** each : {&o.w_ih, &o.w_hh, &o.b_ih, &o.b_hh}) {
    if (*each != nullptr) *each = static_cast<const T*>(weights);
  }
}

namespace {

using BatchSizes = std::optional<std::vector<int64_t>>;

std::vector<int64_t> offsets_of(const RecurrenceShape& s, const BatchSizes& batch_sizes) {
  std::vector<int64_t> offsets{0};
  for (int64_t t = 0; t < s.steps; ++t) {
    const int64_t size = batch_sizes.has_value() && t < static_cast<int64_t>(batch_sizes->size())
                             ? (*batch_sizes)[static_cast<size_t>(t)]
                             : s.batch;
    if (size < 1 || size > s.batch) throw py::value_error("a batch size is out of range");
    offsets.push_back(offsets.back() + size);
  }
  if (offsets.back() != s.rows) throw py::value_error("rows must be the sum of the batch sizes");
  return offsets;
}

py::tuple forward(const std::string& name, const py::array& x, const py::array& h0,
                  const std::optional<py::array>& c0, const py::array& w_ih, const py::array& w_hh,
                  const std::optional<py::array>& b_ih, const std::optional<py::array>& b_hh,
                  const BatchSizes& batch_sizes, bool reverse, bool saves, int threads, bool packed,
                  const py::kwargs& shape) {
  const RecurrenceShape s = shape_from<Recurrence>(shape);
  const std::vector<int64_t> offsets = offsets_of(s, batch_sizes);
  if (b_ih.has_value() != b_hh.has_value()) throw py::value_error("give both biases, or none");
  const bool has_c = s.cell == CellKind::lstm;
  if (c0.has_value() != has_c)
    throw py::value_error("c0 must be given for the LSTM, and for nothing else");
  const int64_t state = s.batch * s.hidden, gates = s.gates() * s.hidden;
  return with_kernel<Recurrence>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> x_in = input<T>({"x", s.rows * s.input}, x);
    const Input<T> h0_in = input<T>({"h0", state}, h0);
    const std::optional<Input<T>> c0_in = input<T>({"c0", state}, c0);
    const Input<T> w_ih_in = input<T>({"w_ih", gates * s.input}, w_ih);
    const Input<T> w_hh_in = input<T>({"w_hh", gates * s.hidden}, w_hh);
    const std::optional<Input<T>> b_ih_in = input<T>({"b_ih", gates}, b_ih);
    const std::optional<Input<T>> b_hh_in = input<T>({"b_hh", gates}, b_hh);
    const Output<T> y(s.rows * s.hidden), h_n(state), c_n(has_c ? state : 0);
    const Output<T> workspace(s.rows * workspace_blocks_of(s.cell) * s.hidden);
    const Output<T> saved_state(s.rows * s.hidden);
    RecurrenceOperands<T> o{};
    o.offsets = batch_sizes.has_value() ? offsets.data() : nullptr;
    o.reverse = reverse;
    o.x = x_in.data();
    o.h0 = h0_in.data();
    o.c0 = data_or_null(c0_in);
    o.w_ih = w_ih_in.data();
    o.w_hh = w_hh_in.data();
    o.b_ih = data_or_null(b_ih_in);
    o.b_hh = data_or_null(b_hh_in);
    o.y = y.data();
    o.h_n = h_n.data();
    o.c_n = c_n.data();
    if (saves) {
      o.workspace = workspace.data();
      o.state = saved_state.data();
    }
    run_for_test(kernel, Pass::forward, s, o, threads, packed);
    return py::make_tuple(result("y", y, kernel.name), result("h_n", h_n, kernel.name),
                          result("c_n", c_n, kernel.name),
                          result("workspace", workspace, kernel.name),
                          result("state", saved_state, kernel.name));
  });
}

py::tuple backward(const std::string& name, const py::array& saved_workspace,
                   const py::array& saved_state, const std::optional<py::array>& w_hh,
                   const std::optional<py::array>& dy, const std::optional<py::array>& dh_n,
                   const std::optional<py::array>& dc_n, const std::optional<py::array>& h0,
                   const BatchSizes& batch_sizes, bool reverse, int threads, bool packed,
                   const py::kwargs& shape) {
  RecurrenceShape s = shape_from<Recurrence>(shape);
  s.gates_only = !w_hh.has_value();
  const std::vector<int64_t> offsets = offsets_of(s, batch_sizes);
  const int64_t first = s.batch * s.hidden, all = s.rows * s.hidden;
  if (!w_hh.has_value() && s.steps > 1) throw py::value_error("w_hh must be given");
  return with_kernel<Recurrence>(name, [&](auto zero, const auto& kernel) {
    using T = decltype(zero);
    const Input<T> workspace_in =
        input<T>({"saved_workspace", all * workspace_blocks_of(s.cell)}, saved_workspace);
    const Input<T> state_in = input<T>({"saved_state", all}, saved_state);
    const std::optional<Input<T>> w_hh_in =
        input<T>({"w_hh", s.gates() * s.hidden * s.hidden}, w_hh);
    const std::optional<Input<T>> dy_in = input<T>({"dy", all}, dy);
    const std::optional<Input<T>> dh_n_in = input<T>({"dh_n", first}, dh_n);
    const std::optional<Input<T>> dc_n_in = input<T>({"dc_n", first}, dc_n);
    const std::optional<Input<T>> h0_in = input<T>({"h0", first}, h0);
    const Output<T> u(all * s.gates()), h_before(h0.has_value() ? all : 0);
    const Output<T> u_hh(s.cell == CellKind::gru ? all * s.gates() : 0);
    const Output<T> dh0(first), dc0(s.cell == CellKind::lstm ? first : 0);
    RecurrenceOperands<T> o{};
    o.offsets = batch_sizes.has_value() ? offsets.data() : nullptr;
    o.reverse = reverse;
    o.saved_workspace = workspace_in.data();
    o.saved_state = state_in.data();
    o.w_hh = data_or_null(w_hh_in);
    o.h0 = data_or_null(h0_in);
    o.dy = data_or_null(dy_in);
    o.dh_n = data_or_null(dh_n_in);
    o.dc_n = data_or_null(dc_n_in);
    o.u = u.data();
    o.u_hh = s.cell == CellKind::gru ? u_hh.data() : nullptr;
    if (h0.has_value()) o.h_before = h_before.data();
    if (w_hh.has_value() || s.cell == CellKind::gru) o.dh0 = dh0.data();
    o.dc0 = dc0.data();
    run_for_test(kernel, Pass::backward, s, o, threads, packed);
    return py::make_tuple(result("u", u, kernel.name), result("u_hh", u_hh, kernel.name),
                          result("h_before", h_before, kernel.name),
                          result("dh0", dh0, kernel.name), result("dc0", dc0, kernel.name));
  });
}

void bind(py::module_& m) {
  py::module_ bindings = bind_operator<Recurrence>(m);
  bindings.def("forward", &forward, "name"_a, "x"_a, "h0"_a, "c0"_a, "w_ih"_a, "w_hh"_a,
               "b_ih"_a = py::none(), "b_hh"_a = py::none(), py::kw_only(),
               "batch_sizes"_a = py::none(), "reverse"_a = false, "saves"_a = true, "threads"_a = 1,
               "packed"_a = false, "Returns y, h_n, c_n, the workspace and the state.");
  bindings.def("backward", &backward, "name"_a, "saved_workspace"_a, "saved_state"_a, "w_hh"_a,
               "dy"_a = py::none(), "dh_n"_a = py::none(), "dc_n"_a = py::none(),
               "h0"_a = py::none(), py::kw_only(), "batch_sizes"_a = py::none(),
               "reverse"_a = false, "threads"_a = 1, "packed"_a = false,
               "Returns u, u_hh, h_before, dh0 and dc0.");
}

[[maybe_unused]] const bool registered = register_bindings(bind);

}  // namespace
}  // namespace cnnext
