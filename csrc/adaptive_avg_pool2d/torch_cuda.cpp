// SPDX-License-Identifier: BSD-3-Clause
// adaptive_avg_pool2d on CUDA, for torch.
#include "adaptive_avg_pool2d/cuda.h"
#include "adaptive_avg_pool2d/torch_adapter.h"
#include "common/torch/cuda.h"

namespace cnnext {
namespace {

struct Device : CudaDevice {
  using CudaDevice::CudaDevice;

  template <class T>
  void compute(Pass pass, const AdaptivePoolShape& s, const AverageOperands<T>& o) const {
    adaptive_avg_pool2d_cuda(pass, s, o, stream());
  }
};

}  // namespace

CNNEXT_CUDA_OPERATORS(m) { adaptive_avg_pool2d::implement_operators<Device>(m); }

}  // namespace cnnext
