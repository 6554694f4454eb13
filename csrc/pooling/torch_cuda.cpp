// SPDX-License-Identifier: BSD-3-Clause
// The pools on CUDA, for torch.
#include "common/torch/cuda.h"
#include "pooling/cuda.h"
#include "pooling/torch_adapter.h"

namespace cnnext {
namespace {

struct Device : CudaDevice {
  using CudaDevice::CudaDevice;

  void expand_offsets(const MaxPool2dShape& s, const uint8_t* offsets, int64_t* indices) const {
    max_pool2d_cuda_expand_offsets(s, offsets, indices, stream());
  }
};

}  // namespace

CNNEXT_CUDA_OPERATORS(m) { pooling::implement_operators<Device>(m); }

}  // namespace cnnext
