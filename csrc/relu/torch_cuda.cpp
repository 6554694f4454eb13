// SPDX-License-Identifier: BSD-3-Clause
// relu on CUDA, for torch.
#include "common/torch/cuda.h"
#include "relu/cuda.h"
#include "relu/torch_adapter.h"

namespace cnnext {
namespace {

struct Device : CudaDevice {
  using CudaDevice::CudaDevice;

  template <class T>
  void compute(Pass pass, const ReluShape& s, const ReluOperands<T>& o) const {
    relu_cuda(pass, s, o, stream());
  }
};

}  // namespace

CNNEXT_CUDA_OPERATORS(m) { relu::implement_operators<Device>(m); }

}  // namespace cnnext
