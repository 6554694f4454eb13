// SPDX-License-Identifier: BSD-3-Clause
// lstm_cell on CUDA, for torch: ATen's matrix products, and our gates.
#include "common/torch/cuda.h"
#include "common/torch/product.h"
#include "lstm_cell/cuda.h"
#include "lstm_cell/torch_adapter.h"

namespace cnnext {
namespace {

struct Device : CudaDevice {
  using CudaDevice::CudaDevice;

  template <class T>
  void forward(const LSTMCellShape& s, const lstm_cell::Inputs& in, LSTMCellOperands<T> o) const {
    const Tensor x_product = product(in.x, transposed(in.w_ih));
    const Tensor h_product = product(in.h, transposed(in.w_hh));
    o.c = read<T>(in.c);
    o.b_ih = read<T>(in.b_ih);
    o.b_hh = read<T>(in.b_hh);
    lstm_cell_cuda_forward(s, read<T>(x_product), read<T>(h_product), o, stream());
  }

  template <class T>
  void backward(const LSTMCellShape& s, const LSTMCellOperands<T>& o) const {
    lstm_cell_cuda_backward(s, o, stream());
  }
};

}  // namespace

CNNEXT_CUDA_OPERATORS(m) { lstm_cell::implement_operators<Device>(m); }

}  // namespace cnnext
