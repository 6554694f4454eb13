// SPDX-License-Identifier: BSD-3-Clause
// avg_pool2d on CUDA, for torch.
#include "avg_pool2d/cuda.h"
#include "avg_pool2d/torch_adapter.h"
#include "common/torch/cuda.h"

namespace cnnext {
namespace {

struct Device : CudaDevice {
  using CudaDevice::CudaDevice;

  template <class T>
  void compute(Pass pass, const AvgPool2dShape& s, const AverageOperands<T>& o) const {
    avg_pool2d_cuda(pass, s, o, stream());
  }
};

}  // namespace

CNNEXT_CUDA_OPERATORS(m) { avg_pool2d::implement_operators<Device>(m); }

}  // namespace cnnext
