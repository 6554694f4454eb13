// SPDX-License-Identifier: BSD-3-Clause
// lstm_cell for torch tensors on any device.
#pragma once

#include <tuple>

#include "common/torch/checks.h"
#include "lstm_cell/lstm_cell.h"

namespace cnnext {
namespace lstm_cell {

// What the forward pass reads: dense matrices, and biases, both or neither.
struct Inputs {
  Tensor x, h, c, w_ih, w_hh;
  std::optional<Tensor> b_ih, b_hh;
};

inline void check_matrix(const Tensor& t, int64_t rows, int64_t columns, const Tensor& like,
                         const char* name) {
  check_dim(t, 2, name);
  check_like(t, like, name);
  CNNEXT_CHECK(t.size(0) == rows && t.size(1) == columns, name, " must be ", rows, " x ", columns,
               ", but is ", t.size(0), " x ", t.size(1));
}

inline void check_bias(const Tensor& t, int64_t size, const Tensor& like, const char* name) {
  check_dim(t, 1, name);
  check_like(t, like, name);
  CNNEXT_CHECK(t.size(0) == size, name, " must have ", size, " elements, but has ", t.size(0));
}

// Returns h', c' and the activated gates.
template <class Device>
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
  const Tensor h_next = empty_2d(s.batch, s.hidden, input);
  const Tensor c_next = empty_2d(s.batch, s.hidden, input);
  const Tensor gates = empty_2d(s.batch, 4 * s.hidden, input);
  if (h_next.numel() > 0) {
    const Inputs in{dense(input), dense(h), dense(c), dense(w_ih), dense(w_hh), bias_ih, bias_hh};
    Device::with_element_type(input, [&](auto zero) {
      using T = decltype(zero);
      const Device device(h_next);
      LSTMCellOperands<T> o{};
      o.h_next = device.template write<T>(h_next);
      o.c_next = device.template write<T>(c_next);
      o.gates = device.template write<T>(gates);
      device.forward(s, in, o);
    });
  }
  return {h_next, c_next, gates};
}

// Returns dz and dc; grad_h and grad_c may be missing, for zero.
template <class Device>
std::tuple<Tensor, Tensor> backward(const std::optional<Tensor>& grad_h,
                                    const std::optional<Tensor>& grad_c, const Tensor& c,
                                    const Tensor& gates) {
  check_dim(c, 2, "cx");
  const LSTMCellShape s{c.size(0), 0, c.size(1)};
  check_matrix(gates, s.batch, 4 * s.hidden, c, "gates");
  const Tensor dz = empty_2d(s.batch, 4 * s.hidden, c), dc = empty_2d(s.batch, s.hidden, c);
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
  Device::with_element_type(c, [&](auto zero) {
    using T = decltype(zero);
    const Device device(dz);
    LSTMCellOperands<T> o{};
    o.c = device.template read<T>(c_in);
    o.gates = const_cast<T*>(device.template read<T>(activated));  // which backward only reads
    o.dh_next = device.template read<T>(dh_next);
    o.dc_next = device.template read<T>(dc_next);
    o.dz = device.template write<T>(dz);
    o.dc = device.template write<T>(dc);
    device.backward(s, o);
  });
  return {dz, dc};
}

inline void define_operators(StableLibrary& m) {
  m.def(
      "lstm_cell(Tensor input, Tensor hx, Tensor cx, Tensor w_ih, Tensor w_hh, Tensor? b_ih, "
      "Tensor? b_hh) -> (Tensor, Tensor, Tensor)");
  m.def(
      "lstm_cell_forward(Tensor input, Tensor hx, Tensor cx, Tensor w_ih, Tensor w_hh, "
      "Tensor? b_ih, Tensor? b_hh) -> (Tensor, Tensor, Tensor)");
  m.def(
      "lstm_cell_backward(Tensor? grad_h, Tensor? grad_c, Tensor cx, Tensor gates) -> "
      "(Tensor, Tensor)");
}

template <class Device>
void implement_operators(StableLibrary& m) {
  m.impl("lstm_cell", TORCH_BOX(&forward<Device>));
  m.impl("lstm_cell_forward", TORCH_BOX(&forward<Device>));
  m.impl("lstm_cell_backward", TORCH_BOX(&backward<Device>));
}

}  // namespace lstm_cell
}  // namespace cnnext
