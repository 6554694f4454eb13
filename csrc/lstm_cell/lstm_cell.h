// SPDX-License-Identifier: BSD-3-Clause
// lstm_cell: the contract between its kernels and its adapters.
//
//   z = x w_ih^T + b_ih + h w_hh^T + b_hh                     (batch x 4 hidden: i, f, g, o)
//   i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
//   c' = f c + i g;  h' = o tanh(c')
//
// (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000, as
// torch.nn.LSTMCell.) The forward pass leaves i, f, g, o in `gates`. The backward pass starts from
// them and c; it computes c' again, since the caller may have written to the c' that it got. It
// yields the gradient of z, from which the others follow as matrix products
// (linear's passes):
//
//   do = dh' tanh(c');  dc = dc' + dh' o (1 - tanh(c')^2);  dc_in = dc f
//   dz = (dc g i(1-i), dc c f(1-f), dc i (1-g^2), do o(1-o))
//
// All matrices are dense and row-major; batch and hidden are positive, input may be zero.
#pragma once

#include <cstdint>

#include "common/kernel/kernel.h"

namespace cnnext {

struct LSTMCellShape {
  int64_t batch, input, hidden;

  CNNEXT_INLINE double macs() const {
    return 4.0 * static_cast<double>(batch) * static_cast<double>(hidden) *
           static_cast<double>(input + hidden);
  }
};

template <class T>
struct LSTMCellOperands {
  // forward: reads x, h, c, w_ih, w_hh, b_ih, b_hh (both or neither null); writes the rest
  const T *x, *h, *c, *w_ih, *w_hh, *b_ih, *b_hh;
  T *h_next, *c_next, *gates;
  // backward: reads c, gates and these two (either may be null, for zero)
  const T *dh_next, *dc_next;
  // ... and writes these
  T *dz, *dc;
};

#define CNNEXT_KERNEL(type, pass, isa, name, cost) \
  CNNEXT_DECLARE_KERNEL(LSTMCellShape, LSTMCellOperands<type>, name)
#include "lstm_cell/kernels.inc"
#undef CNNEXT_KERNEL

}  // namespace cnnext
