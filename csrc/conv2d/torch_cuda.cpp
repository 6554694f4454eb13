// SPDX-License-Identifier: BSD-3-Clause
// conv2d on CUDA, for torch.
#include "common/torch/cuda.h"
#include "conv2d/cuda.h"
#include "conv2d/torch_adapter.h"

namespace cnnext {
namespace {

// Each is freed as soon as its kernels are launched: the next to get it runs after them.
template <class T>
Tensor workspace(int64_t elements, const Tensor& like) {
  return empty_1d(elements, like, element_type<Accumulator<T>>());
}

struct Device : CudaDevice {
  explicit Device(const Tensor& t) : CudaDevice(t), like(t) {}

  template <class Op, class T>
  void compute(Pass pass, const Conv2dShape& s, const Conv2dOperands<T>& o) const {
    if (pass != Pass::bwd_weight) return conv2d_cuda<T>(pass, s, o, nullptr, stream());
    const Tensor partial = workspace<T>(conv2d_cuda_weight_workspace(s), like);
    conv2d_cuda(pass, s, o, write<Accumulator<T>>(partial), stream());
  }

  static Tensor bias_gradient(const Tensor& grad_output) {
    const Layout layout = preferred_layout(grad_output);
    const Tensor dy = dense(grad_output, layout);
    // A convolution of one tap: its output is its input.
    const Conv2dShape s{dy.size(0), 1, dy.size(2), dy.size(3), dy.size(1), 1, 1,     1,
                        1,          0, 0,          1,          1,          1, layout};
    const Tensor grad_bias = empty_1d(s.c_out, dy, dy.scalar_type());
    with_element_type(dy, [&](auto zero) {
      using T = decltype(zero);
      const Device device(dy);
      const Tensor partial = workspace<T>(conv2d_cuda_bias_workspace(s), dy);
      conv2d_cuda_bias(s, device.read<T>(dy), device.write<T>(grad_bias),
                       device.write<Accumulator<T>>(partial), device.stream());
    });
    return grad_bias;
  }

  const Tensor& like;
};

}  // namespace

CNNEXT_CUDA_OPERATORS(m) { conv2d::implement_operators<Device>(m); }

}  // namespace cnnext
