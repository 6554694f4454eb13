// SPDX-License-Identifier: BSD-3-Clause
// The gates of lstm_cell on CUDA, for float, double, Half and BFloat16. The matrix products before
// and after them are the adapter's.
#pragma once

#include "common/cuda/types.h"
#include "lstm_cell/lstm_cell.h"

namespace cnnext {

// From x w_ih^T and h w_hh^T, both (batch x 4 hidden), reads c and the biases, and writes h_next,
// c_next and gates.
template <class T>
void lstm_cell_cuda_forward(const LSTMCellShape& shape, const T* x_product, const T* h_product,
                            const LSTMCellOperands<T>& operands, cudaStream_t stream);

// From c, gates, dh_next and dc_next writes dz and dc.
template <class T>
void lstm_cell_cuda_backward(const LSTMCellShape& shape, const LSTMCellOperands<T>& operands,
                             cudaStream_t stream);

}  // namespace cnnext
