// SPDX-License-Identifier: BSD-3-Clause
// lstm_cell for torch tensors on any device: a recurrence of one step, under names of its own.
#pragma once

#include "common/torch/results.h"
#include "recurrence/torch_adapter.h"

namespace cnnext {
namespace lstm_cell {

// Returns h', c' and the activated gates.
template <class Device>
std::tuple<Tensor, Tensor, Tensor> forward(const Tensor& input, const Tensor& h, const Tensor& c,
                                           const Tensor& w_ih, const Tensor& w_hh,
                                           const std::optional<Tensor>& b_ih,
                                           const std::optional<Tensor>& b_hh) {
  check_dim(input, 2, "input");
  check_dim(h, 2, "hx");
  const RecurrenceShape s{CellKind::lstm, 1,        input.size(0), input.size(0),
                          input.size(1),  h.size(1)};
  const recurrence::Inputs in =
      recurrence::check_inputs(s, input, h, c, w_ih, w_hh, b_ih, b_hh, "hx", "cx");
  const Tensor h_next = empty_2d(s.batch, s.hidden, input);
  const Tensor c_next = empty_2d(s.batch, s.hidden, input);
  const Tensor gates = empty_2d(s.batch, s.gates() * s.hidden, input);
  recurrence::compute_forward<Device>(s, {1, {}}, false, in, {h_next, {}, c_next, gates, {}});
  return {h_next, c_next, gates};
}

// Returns dz and dc; grad_h and grad_c may be missing, for zero.
template <class Device>
std::tuple<Tensor, Tensor> backward(const std::optional<Tensor>& grad_h,
                                    const std::optional<Tensor>& grad_c, const Tensor& c,
                                    const Tensor& gates) {
  check_dim(c, 2, "cx");
  const RecurrenceShape s{CellKind::lstm, 1, c.size(0), c.size(0), 0, c.size(1), true};
  recurrence::check_matrix(gates, s.batch, s.gates() * s.hidden, c, "gates");
  const recurrence::Saved saved{dense(gates),
                                dense(c),
                                {},
                                {},
                                recurrence::dense_matrix(grad_h, s.batch, s.hidden, c, "grad_h"),
                                {},
                                recurrence::dense_matrix(grad_c, s.batch, s.hidden, c, "grad_c")};
  const Tensor dz = empty_2d(s.batch, s.gates() * s.hidden, c);
  const Tensor dc = empty_2d(s.batch, s.hidden, c);
  recurrence::compute_backward<Device>(s, {1, {}}, false, saved, {dz, {}, {}, {}, dc});
  return {dz, dc};
}

inline void define_operators(StableLibrary& m) {
#define CNNEXT_FORWARD_SCHEMA(name)                                                    \
  name "(Tensor input, Tensor hx, Tensor cx, Tensor w_ih, Tensor w_hh, Tensor? b_ih, " \
       "Tensor? b_hh) -> (Tensor, Tensor, Tensor)"
  m.def(CNNEXT_FORWARD_SCHEMA("lstm_cell"));
  m.def(CNNEXT_FORWARD_SCHEMA("lstm_cell_forward"));
#undef CNNEXT_FORWARD_SCHEMA
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
