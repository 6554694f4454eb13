// SPDX-License-Identifier: BSD-3-Clause
// recurrence: one layer of an LSTM, a GRU or an RNN in one direction, from first step to last; with
// one step, a cell. The contract between its kernels and its adapters.
//
// With x and h the input and the hidden state of a step, and blocks of `hidden` columns each:
//
//   lstm   i, f, o = sigmoid(x w_ih^T + b_ih + h w_hh^T + b_hh);  g likewise with tanh
//          c' = f c + i g;  h' = o tanh(c')
//   gru    r, z = sigmoid(x w_ih^T + b_ih + h w_hh^T + b_hh)
//          q = h w_hn^T + b_hn;  n = tanh(x w_in^T + b_in + r q);  h' = n + z (h - n)
//   rnn    h' = tanh(x w_ih^T + b_ih + h w_hh^T + b_hh), or max(0, the same)
//
// (Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; Cho et al. 2014 in the
// variant of torch.nn.GRU; Elman 1990.) Weights hold the gates one under the other, in torch's
// order: i, f, g, o; r, z, n.
//
// Sequences are of different lengths, the longest first. Step t has the first n(t) of them as rows
// offsets[t] .. offsets[t+1] of x and y; no step has more than the one before it. In reverse, a
// sequence starts at its last step, and takes its first as the last.
//
// Backward, with dh the gradient of h' from y and from the step after, and u the gradient of a
// gate before its activation:
//
//   lstm   dc = dc' + dh o (1 - tanh(c')^2);  u = dc g i(1-i), dc c f(1-f), dc i (1-g^2),
//          dh tanh(c') o(1-o);  dc_in = dc f
//   gru    u_n = dh (1-z)(1-n^2);  u = u_n q r(1-r), dh (h-n) z(1-z), u_n;  for w_hh the last is
//          u_n r;  dh_in = dh z + ...
//   rnn    u = dh (1-h'^2), or dh but where h' <= 0
//   all    dh_in = ... + u w_hh
//
// The output is the user's to write to, so the forward pass leaves the state that these formulas
// need in memory of its own: of each row the c or h that its step starts from (LSTM, GRU), or its
// h' (RNN). The gradient of w_hh needs the h that steps start from. The GRU has it there; for the
// others the backward pass hands each h', which it has in hand, to the step after.
//
// The biases are packed with the weights. All matrices are dense and row-major. Rows, steps, batch
// and hidden are positive; input may be zero.
#pragma once

#include <cstdint>

#include "common/kernel/kernel.h"

namespace cnnext {

enum class CellKind : int { lstm, gru, rnn_tanh, rnn_relu };

// How many blocks of `hidden` rows the weights have.
CNNEXT_INLINE constexpr int64_t gates_of(CellKind cell) {
  return cell == CellKind::lstm ? 4 : cell == CellKind::gru ? 3 : 1;
}

// How many values of each unit the forward pass leaves in the workspace, for the backward pass:
// i, f, g, o; n, r, z, q.
CNNEXT_INLINE constexpr int64_t workspace_blocks_of(CellKind cell) {
  return cell == CellKind::lstm || cell == CellKind::gru ? 4 : 0;
}

struct RecurrenceShape {
  CellKind cell;
  int64_t steps, rows, batch, input, hidden;
  bool gates_only = false;  // backward: one step, of which dh0 is not wanted, so no product

  CNNEXT_INLINE int64_t gates() const { return gates_of(cell); }

  // Those of the forward pass; the backward pass has no products with the input. Gates alone take
  // as long as some multiply-adds.
  CNNEXT_INLINE double macs() const {
    if (gates_only) return 20.0 * static_cast<double>(rows * hidden);
    return static_cast<double>(rows) * static_cast<double>(gates() * hidden) *
           static_cast<double>(input + hidden);
  }
};

template <class T>
struct RecurrenceOperands {
  const int64_t* offsets;  // steps + 1; null: every step has `batch` rows
  bool reverse;
  const T* w_hh;

  // forward: reads x (rows x input), h0, c0 (batch x hidden), the weights, and the biases (both or
  // neither null); c0 and c_n are the LSTM's only
  const T *x, *h0, *c0, *w_ih, *b_ih, *b_hh;
  // ... on a GPU, of one step, instead of x, h0 and the weights their products (rows x gates x
  // hidden)
  const T *x_product, *h_product;
  // ... and writes y (rows x hidden), h_n (or null), c_n (batch x hidden) and, for the backward
  // pass or null, the workspace (rows x workspace_blocks x hidden) and the state (rows x hidden)
  T *y, *h_n, *c_n, *workspace, *state;

  // backward: reads the workspace, the state and gradients (each null for zero); w_hh is null if
  // the shape is of gates only
  const T *saved_workspace, *saved_state, *dy, *dh_n, *dc_n;
  // ... and writes u (rows x gates x hidden), the same for w_hh (of the GRU, else null), the
  // gradients of the first states (dh0 of the LSTM and the RNN may be null without w_hh) and, if
  // not null, from h0 on the h that each row's step starts from (rows x hidden; of the GRU always
  // null)
  T *u, *u_hh, *dh0, *dc0, *h_before;
};

struct Recurrence {
  static constexpr const char* kName = "recurrence";
  using Shape = RecurrenceShape;
  template <class T>
  using Operands = RecurrenceOperands<T>;
  static double work(const Shape& s) { return s.macs(); }
};

}  // namespace cnnext
