// SPDX-License-Identifier: BSD-3-Clause
// A GPU as the adapters (torch_adapter.h of each operator) see a device: which element types its
// kernels take, and the stream they run on. Only this file and cuda_launch.h stand between the
// kernels and a GPU.
#pragma once

#include <torch/csrc/stable/accelerator.h>

#include "common/cuda/operator.h"
#include "common/torch/cuda_types.h"

// Implements operators for CUDA tensors: CNNEXT_CUDA_OPERATORS(m) { m.impl(...); }
#define CNNEXT_CUDA_OPERATORS(m) STABLE_TORCH_LIBRARY_IMPL(cnnext, CUDA, m)

namespace cnnext {

// While it lives, the tensor's GPU is the current one.
class CudaDevice : public TensorMemory {
 public:
  explicit CudaDevice(const Tensor& t) : guard_(t.get_device_index()) {
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(
        aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream));
    stream_ = static_cast<cudaStream_t>(stream);
  }

  template <class F>
  static auto with_element_type(const Tensor& t, const F& f) {
    return with_cuda_element_type(t, f);
  }

  template <class Op, template <class> class Operands, class T>
  void compute(Pass pass, const typename Op::Shape& s, const Operands<T>& o) const {
    launch<Op, T>(pass, s, o, stream());
  }

  // torch's current stream. Memory that the adapters free goes back to it in the same order.
  cudaStream_t stream() const { return stream_; }

 private:
  torch::stable::accelerator::DeviceGuard guard_;
  cudaStream_t stream_;
};

}  // namespace cnnext
