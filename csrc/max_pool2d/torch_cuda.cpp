// SPDX-License-Identifier: BSD-3-Clause
// max_pool2d on CUDA, for torch.
#include "common/torch/cuda.h"
#include "max_pool2d/cuda.h"
#include "max_pool2d/torch_adapter.h"

namespace cnnext {
namespace {

struct Device : CudaDevice {
  using CudaDevice::CudaDevice;

  template <class T>
  void compute(Pass pass, const MaxPool2dShape& s, const MaxPool2dOperands<T>& o) const {
    max_pool2d_cuda(pass, s, o, stream());
  }

  void expand_offsets(const MaxPool2dShape& s, const uint8_t* offsets, int64_t* indices) const {
    max_pool2d_cuda_expand_offsets(s, offsets, indices, stream());
  }
};

}  // namespace

CNNEXT_CUDA_OPERATORS(m) { max_pool2d::implement_operators<Device>(m); }

}  // namespace cnnext
