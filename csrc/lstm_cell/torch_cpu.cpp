// SPDX-License-Identifier: BSD-3-Clause
// lstm_cell for torch tensors on the CPU.
#include <tuple>

#include "common/torch_checks.h"
#include "lstm_cell/select.h"

namespace cnnext {
namespace {

void check_matrix(const Tensor& t, int64_t rows, int64_t columns, const Tensor& like,
                  const char* name) {
  check_dim(t, 2, name);
  check_like(t, like, name);
  CNNEXT_CHECK(t.size(0) == rows && t.size(1) == columns, name, " must be ", rows, " x ", columns,
               ", but is ", t.size(0), " x ", t.size(1));
}

void check_bias(const Tensor& t, int64_t size, const Tensor& like, const char* name) {
  check_dim(t, 1, name);
  check_like(t, like, name);
  CNNEXT_CHECK(t.size(0) == size, name, " must have ", size, " elements, but has ", t.size(0));
}

// Returns h', c' and the activated gates.
std::tuple<Tensor, Tensor, Tensor> forward(const Tensor& input, const Tensor& h, const Tensor& c,
                                           const Tensor& w_ih, const Tensor& w_hh,
                                           const std::optional<Tensor>& b_ih,
                                           const std::optional<Tensor>& b_hh) {
  check_dim(input, 2, "input");
  check_dim(h, 2, "hx");
  const LSTMCellShape s{input.size(0), input.size(1), h.size(1)};
  check_matrix(h, s.batch, s.hidden, input, "hx");
  check_matrix(c, s.batch, s.hidden, input, "cx");
  check_matrix(w_ih, 4 * s.hidden, s.input, input, "w_ih");
  check_matrix(w_hh, 4 * s.hidden, s.hidden, input, "w_hh");
  CNNEXT_CHECK(b_ih.has_value() == b_hh.has_value(), "b_ih and b_hh must be given together");
  std::optional<Tensor> bias_ih, bias_hh;
  if (b_ih.has_value()) {
    check_bias(*b_ih, 4 * s.hidden, input, "b_ih");
    check_bias(*b_hh, 4 * s.hidden, input, "b_hh");
    bias_ih = dense(*b_ih);
    bias_hh = dense(*b_hh);
  }
  const ScalarType dtype = input.scalar_type();
  const Tensor h_next = empty_2d(s.batch, s.hidden, dtype);
  const Tensor c_next = empty_2d(s.batch, s.hidden, dtype);
  const Tensor gates = empty_2d(s.batch, 4 * s.hidden, dtype);
  if (h_next.numel() > 0) {
    const Tensor x = dense(input), h_in = dense(h), c_in = dense(c);
    const Tensor ih = dense(w_ih), hh = dense(w_hh);
    with_element_type(input, [&](auto zero) {
      using T = decltype(zero);
      LSTMCellOperands<T> o{};
      o.x = data<T>(x);
      o.h = data<T>(h_in);
      o.c = data<T>(c_in);
      o.w_ih = data<T>(ih);
      o.w_hh = data<T>(hh);
      o.b_ih = data<T>(bias_ih);
      o.b_hh = data<T>(bias_hh);
      o.h_next = mutable_data<T>(h_next);
      o.c_next = mutable_data<T>(c_next);
      o.gates = mutable_data<T>(gates);
      const int threads = useful_threads(s.macs());
      run_on_torch_threads(select_lstm_cell<T>(Pass::forward, s, threads), s, o, threads);
    });
  }
  return {h_next, c_next, gates};
}

// Returns dz and dc; grad_h and grad_c may be missing, for zero.
std::tuple<Tensor, Tensor> backward(const std::optional<Tensor>& grad_h,
                                    const std::optional<Tensor>& grad_c, const Tensor& c,
                                    const Tensor& gates) {
  check_dim(c, 2, "cx");
  const LSTMCellShape s{c.size(0), 0, c.size(1)};
  check_matrix(gates, s.batch, 4 * s.hidden, c, "gates");
  const ScalarType dtype = c.scalar_type();
  const Tensor dz = empty_2d(s.batch, 4 * s.hidden, dtype), dc = empty_2d(s.batch, s.hidden, dtype);
  if (dc.numel() == 0) return {dz, dc};
  std::optional<Tensor> dh_next, dc_next;
  if (grad_h.has_value()) {
    check_matrix(*grad_h, s.batch, s.hidden, c, "grad_h");
    dh_next = dense(*grad_h);
  }
  if (grad_c.has_value()) {
    check_matrix(*grad_c, s.batch, s.hidden, c, "grad_c");
    dc_next = dense(*grad_c);
  }
  const Tensor c_in = dense(c), activated = dense(gates);
  with_element_type(c, [&](auto zero) {
    using T = decltype(zero);
    LSTMCellOperands<T> o{};
    o.c = data<T>(c_in);
    o.gates = const_cast<T*>(data<T>(activated));  // which the backward pass only reads
    o.dh_next = data<T>(dh_next);
    o.dc_next = data<T>(dc_next);
    o.dz = mutable_data<T>(dz);
    o.dc = mutable_data<T>(dc);
    const int threads = useful_threads(20.0 * static_cast<double>(s.batch * s.hidden));
    run_on_torch_threads(select_lstm_cell<T>(Pass::backward, s, threads), s, o, threads);
  });
  return {dz, dc};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(cnnext, m) {
  m.def(
      "lstm_cell(Tensor input, Tensor hx, Tensor cx, Tensor w_ih, Tensor w_hh, Tensor? b_ih, "
      "Tensor? b_hh) -> (Tensor, Tensor, Tensor)");
  m.def(
      "lstm_cell_forward(Tensor input, Tensor hx, Tensor cx, Tensor w_ih, Tensor w_hh, "
      "Tensor? b_ih, Tensor? b_hh) -> (Tensor, Tensor, Tensor)");
  m.def(
      "lstm_cell_backward(Tensor? grad_h, Tensor? grad_c, Tensor cx, Tensor gates) -> "
      "(Tensor, Tensor)");
  m.def("lstm_cell_kernels() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CPU, m) {
  m.impl("lstm_cell", TORCH_BOX(&forward));
  m.impl("lstm_cell_forward", TORCH_BOX(&forward));
  m.impl("lstm_cell_backward", TORCH_BOX(&backward));
}

STABLE_TORCH_LIBRARY_IMPL(cnnext, CompositeExplicitAutograd, m) {
  m.impl("lstm_cell_kernels", TORCH_BOX(&list_lstm_cell_kernels));
}

}  // namespace cnnext
